"""``_list``: only what a List names. https://hl7.org/fhir/R4/search.html#list"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fhir_server.faults import Fault, Kind
from fhir_server.interactions.context import Context
from fhir_server.resources.codec import decode
from fhir_server.search.predicate import NOTHING, IdIn, Predicate
from fhir_server.search.references import local

LIST = "_list"


async def members(context: Context, lists: Iterable[str]) -> dict[str, set[str]]:
    """Return the ids, by type, that every one of the ``lists`` names; 400 for a list that is not known."""
    found: dict[str, set[str]] | None = None
    for id_ in lists:
        named = await _named(context, id_)
        found = named if found is None else {t: ids & named.get(t, set()) for t, ids in found.items()}
    return found or {}


def among(named: Mapping[str, set[str]], type_: str) -> Predicate:
    """Return the predicate that holds for the resources of ``type_`` that lists name."""
    ids = named.get(type_)
    return IdIn(tuple(sorted(ids))) if ids else NOTHING


async def _named(context: Context, id_: str) -> dict[str, set[str]]:
    if id_.startswith("$"):
        raise Fault(
            Kind.UNSUPPORTED_PARAMETER,
            "Functional lists such as $current-problems are not served; name a List by its id: _list=42.",
        )
    stored = await context.store.read(context.visibility, "List", id_.removeprefix("List/"))
    if stored is None or stored.deleted:
        raise Fault(Kind.BAD_PARAMETER, "_list names no List that is known here.")
    named: dict[str, set[str]] = {}
    for entry in decode(stored.body).get("entry", ()):
        reference = entry.get("item", {}).get("reference")
        target = local(reference, context.request.base) if reference and not entry.get("deleted") else None
        type_, slash, member = (target or "").partition("/")
        if slash and ":" not in type_:
            named.setdefault(type_, set()).add(member)
    return named
