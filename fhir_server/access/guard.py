"""The write guard: what a change may not do, judged on what it leaves behind.

What a caller may write to is in the predicates of its Decision, and the store joins them when it reads the
version that is to be changed. What comes out of the change is judged here, before anything is committed: it
must satisfy the same predicates, stay with patients about whom the caller may write, and keep its labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fhir_server.access.decide import Decision
from fhir_server.access.policy import policy
from fhir_server.access.scopes import Letter
from fhir_server.faults import Fault, Kind
from fhir_server.search.match import matches
from fhir_server.search.predicate import (
    About,
    All,
    AnyOf,
    Chain,
    Everything,
    Has,
    IdIn,
    Not,
    Predicate,
    ReferenceIs,
    Where,
    all_of,
)
from fhir_server.search.query import Query
from fhir_server.search.subjects import members
from fhir_server.search.values import Values
from fhir_server.search.visibility import Visibility
from fhir_server.store.api import Store

Tree = dict[str, Any]
Key = tuple[str, str]

_LOOK: Final = Visibility.everything("access: write guard")


@dataclass(frozen=True, slots=True)
class Image:
    """What one write leaves behind. ``before``, ``after``: ``meta`` of the versions; ``before`` None: new."""

    letter: Letter
    type: str
    id: str
    values: Values
    before: Tree | None
    after: Tree


class Guard:
    """Judges the ``images`` of one commit, which may refer to each other."""

    def __init__(self, decision: Decision, store: Store, images: Iterable[Image]) -> None:
        self._decision = decision
        self._judge = _Judge(store, {(image.type, image.id): image.values for image in images})

    async def check(self, image: Image) -> None:
        """Pass when the caller may leave this image behind.

        Fault FORBIDDEN otherwise; the sentences tell nothing of what the caller may not see.
        """
        _tags(self._decision, image)
        rule = self._decision.visibility(image.letter).of(image.type)
        if not await self._judge.holds(rule, image.type, image.id, image.values):
            raise Fault(
                Kind.FORBIDDEN,
                f"Your access does not allow to write this {image.type} as it is: it is outside what your "
                "scopes, your patients and your organisation reach.",
                image.type,
            )
        for patient in _patients(image):
            if not await self._judge.reaches(self._decision.patients, "Patient", patient):
                raise Fault(
                    Kind.FORBIDDEN,
                    f"This {image.type} would belong to a patient about whom your access does not allow "
                    "to write.",
                    image.type,
                )


def _patients(image: Image) -> Iterable[str]:
    """Return the ids of the patients to whom an image belongs; a Patient itself is judged as what it is."""
    found = members(image.type, image.id, image.values)
    return (id_ for id_ in found if (image.type, image.id) != ("Patient", id_))


def _tags(decision: Decision, image: Image) -> None:
    """Refuse a change of protected tags by who may not relabel; of labels ``interactions.labelling`` does."""
    if decision.may_relabel:
        return
    if _protected(image.before or {}) != _protected(image.after):
        raise Fault(
            Kind.FORBIDDEN,
            "Changing meta.tag here needs the scope relabel; send the tags as they were.",
            f"{image.type}.meta.tag",
        )


def _protected(meta: Tree) -> frozenset[tuple[Any, Any]]:
    """Return system and code of the tags that only who may relabel changes."""
    tags = [each for each in meta.get("tag", []) if isinstance(each, dict)]
    pairs = ((each.get("system"), each.get("code")) for each in tags)
    return frozenset(pair for pair in pairs if pair[0] in policy().protected_tag_systems)


@dataclass(frozen=True, slots=True)
class _Judge:
    """Judges resources that are not stored yet; what they link to is in the same commit or in the store.

    A link *from* another resource counts only once that one is stored: writing makes nobody a right.
    """

    store: Store
    pending: Mapping[Key, Values]

    async def holds(  # noqa: C901, PLR0911 - one case for each node that may need the store
        self, predicate: Predicate, type_: str, id_: str, values: Values
    ) -> bool:
        """Tell whether the resource with these values, which are not stored yet, satisfies the predicate."""
        match predicate:
            case Not(item):
                return not await self.holds(item, type_, id_, values)
            case All(items):
                for item in items:
                    if not await self.holds(item, type_, id_, values):
                        return False
                return True
            case AnyOf(items):
                for item in items:
                    if await self.holds(item, type_, id_, values):
                        return True
                return False
            case Chain(param, to, inner):
                return await self._chain(param, to, inner, values)
            case Has(by, param, inner):
                return await self._stored(by, all_of((Where(param, ReferenceIs((f"{type_}/{id_}",))), inner)))
            case About():
                classes = await self.store.policies.classes(values.patients)
                return matches(predicate, type_, id_, values, _nothing, _nobody, classes.__getitem__)
            case _:
                return matches(predicate, type_, id_, values, _nothing, _nobody)

    async def reaches(self, predicate: Predicate, type_: str, id_: str) -> bool:
        """Tell whether ``type_/id_``, as the commit leaves it, satisfies the predicate."""
        if isinstance(predicate, Everything):
            return True
        values = self.pending.get((type_, id_))
        if values is not None:
            return await self.holds(predicate, type_, id_, values)
        return await self._stored(type_, all_of((IdIn((id_,)), predicate)))

    async def _chain(self, param: str, to: str, inner: Predicate, values: Values) -> bool:
        for name, target in values.references:
            kind, _, id_ = target.partition("/")
            if name == param and kind == to and await self.reaches(inner, kind, id_):
                return True
        return False

    async def _stored(self, type_: str, where: Predicate) -> bool:
        page = await self.store.search(_LOOK, Query(type_, where, count=1))
        return bool(page.matches)


def _nothing(_type: str, _id: str) -> None:
    """Resolve nothing: links are followed by the judge, through the store."""


def _nobody(_type: str, _param: str, _target: str) -> tuple[()]:
    return ()
