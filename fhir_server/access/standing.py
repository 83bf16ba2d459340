"""What a person and an organisation are to a Consent: roles, and the organisations that theirs is part of.

https://hl7.org/fhir/R4/consent-definitions.html#Consent.provision.actor
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, Final

from fhir_server.resources.codec import decode
from fhir_server.search.predicate import ReferenceIs, TokenIs, Where, all_of, negate
from fhir_server.search.query import Query
from fhir_server.search.visibility import Visibility
from fhir_server.store.api import Store

Tree = dict[str, Any]

DECIDING: Final = frozenset({"Organization", "PractitionerRole"})
"""Types whose records say it."""
_MOST_ROLES: Final = 50
_MOST_LEVELS: Final = 10
_LOOK: Final = Visibility.everything("access: roles and organisations")


@dataclass(frozen=True, slots=True)
class Standing:
    """Codes of a person's roles, and further references that the person or the organisation answers to."""

    roles: frozenset[str] = frozenset()
    others: tuple[str, ...] = ()


async def standing(store: Store, user: str | None, organization: str | None) -> Standing:
    """Look up what ``user`` (``Practitioner/1``) is at ``organization``, and whose part that is."""
    roles: list[Tree] = []
    others: list[str] = []
    kind = (user or "").partition("/")[0]
    if user is not None and kind == "Practitioner" and organization is not None:
        where = all_of(
            (
                Where("practitioner", ReferenceIs((user,))),
                Where("organization", ReferenceIs((organization,))),
                negate(Where("active", TokenIs(None, "false"))),
            )
        )
        page = await store.search(_LOOK, Query("PractitionerRole", where, count=_MOST_ROLES))
        roles += [decode(stored.body) for stored in page.matches]
        others += [f"PractitionerRole/{role['id']}" for role in roles]
    elif user is not None and kind in ("PractitionerRole", "RelatedPerson"):
        tree = await _read(store, user)
        if tree is not None and tree.get("active") is not False:
            roles.append({"code": tree.get("relationship", []), **tree})
            others.append(_reference(tree.get("practitioner")))
    others += [each async for each in _parents(store, organization)]
    codes = frozenset(code for role in roles for code in _codes(role.get("code", [])))
    return Standing(codes, tuple(each for each in dict.fromkeys(others) if each))


async def _parents(store: Store, organization: str | None) -> AsyncIterator[str]:
    """Yield the organisations that one is part of, and so on; a circle ends."""
    seen = {organization}
    while organization is not None and len(seen) <= _MOST_LEVELS:
        tree = await _read(store, organization)
        parent = _reference((tree or {}).get("partOf"))
        if not parent or parent in seen:
            return
        yield parent
        seen.add(parent)
        organization = parent


async def _read(store: Store, reference: str) -> Tree | None:
    type_, _, id_ = reference.partition("/")
    stored = await store.read(_LOOK, type_, id_)
    return None if stored is None or stored.deleted else decode(stored.body)


def _reference(value: Any) -> str:
    return str(value.get("reference", "")) if isinstance(value, dict) else ""


def _codes(concepts: Any) -> Iterator[str]:
    for concept in concepts if isinstance(concepts, list) else []:
        codings = concept.get("coding", []) if isinstance(concept, dict) else []
        yield from (str(each["code"]) for each in codings if isinstance(each, dict) and "code" in each)
