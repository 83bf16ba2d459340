"""What the patients' consents leave of what an actor may see: asked for each type, kept while it holds.

conformance/decisions/0014-what-a-consent-means.md says what a Consent means, docs/consent.md whom it binds.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Final

from fhir_server.access.actor import Actor
from fhir_server.access.decide import LETTERS, Decision
from fhir_server.access.policy import policy
from fhir_server.access.rules import compartment, organisation
from fhir_server.access.scopes import Letter
from fhir_server.access.standing import Standing
from fhir_server.consent.asking import Action, Asking, silence_permits
from fhir_server.consent.groups import MOST_TESTS, Consents, coarse, weight
from fhir_server.consent.policy import Overarching
from fhir_server.faults import Fault, Kind
from fhir_server.resources.types import RESOURCE_TYPES
from fhir_server.search.parameters import SECURITY_CONTEXT
from fhir_server.search.predicate import (
    EVERYTHING,
    NOTHING,
    Chain,
    Predicate,
    Present,
    ReferenceIs,
    TokenIs,
    Where,
    all_of,
    any_of,
    negate,
)
from fhir_server.search.visibility import Visibility
from fhir_server.store.api import Store

_LOG = logging.getLogger("fhir_server.consent")

_ACTIONS: Final[Mapping[Letter, tuple[Action, ...]]] = MappingProxyType(
    {
        "c": ("collect",),
        "r": ("access",),
        "u": ("access", "correct"),
        "d": ("access", "correct"),
        "s": ("access",),
    }
)
"""What a letter of ``cruds`` is to a Consent: who changes a record sees it too."""
_READS: Final = frozenset({"r", "s"})
_BINARY: Final = "Binary"
PROVENANCE: Final = "Provenance"
TELLS: Final = ("target", "entity")
"""What a Provenance tells of: what was done, and what it was made of."""
REVIEW: Final = "urn:fhir-server:task", "break-glass-review"
"""System and code of the Tasks by which an organisation reviews who has broken the glass."""


class Consenting:
    """The consents of all patients, as the store has them, and what they leave of decisions.

    ``overarching``: what holds of patients who have said nothing.
    """

    def __init__(self, store: Store, overarching: Overarching) -> None:
        self._store = store
        self._overarching = overarching
        self._consents = Consents(overarching)
        # Conditions are made when a store asks for them, which may be in one of its threads.
        self._lock = threading.Lock()
        self._used_at = -1
        self._asked = self._answered = 0

    @property
    def is_silent(self) -> bool:
        """True when no patient has ever said anything."""
        return not self._consents.highest

    @property
    def revision(self) -> int:
        """A decision holds for as long as this stays."""
        return self._consents.revision

    async def refresh(self) -> None:
        """Learn the policy classes that were made since; next to nothing when there are none.

        Fault UNAVAILABLE when they cannot be read: whoever consents bind is told nothing then.
        """
        stamps = await self._store.stamps()
        if stamps.classes > self._consents.highest:
            with _closed_on_error():
                rules = await self._store.policies.rules(self._consents.highest)
                with self._lock:
                    self._consents.learn(rules)
        if self._consents.minds_use and stamps.governing != self._used_at:
            await self._count_used(stamps.governing)

    async def _count_used(self, governing: int) -> None:
        """Count the classes that somebody is in, as of this stamp or later."""
        self._asked += 1
        turn = self._asked
        with _closed_on_error():
            used = await self._store.policies.used()
            with self._lock:
                # Who asked later knows better: a class that was entered since must not be left out again.
                if turn > self._answered:
                    self._consents.keep(used)
                    self._answered, self._used_at = turn, governing

    def joined(
        self,
        decision: Decision,
        asking: Asking,
        own: Callable[[str], Predicate],
        among: frozenset[int] | None = None,
        *,
        partly: bool = False,
    ) -> Decision:
        """Return the decision with what consents leave of it; ``own``: of a type, the asker's own records.

        ``among``: judge these policy classes alone; what is about patients of others is hidden. ``partly``:
        where the conditions are too many for one search, hide the patients of some, who may permit it.
        """
        if self._says_nothing(asking):
            return replace(decision, asking=asking)
        is_house = asking.organization is None and asking.user is None
        seen: dict[Letter, Visibility] = {}
        tables: dict[tuple[Action, ...], _Table] = {}
        for letter in LETTERS:
            visibility = decision.seen[letter]
            if is_house and letter not in _READS:
                # The house's own programs keep the records; what they read of them is another matter.
                seen[letter] = visibility
                continue
            actions = _ACTIONS[letter]
            if actions not in tables:
                condition = partial(self._condition, among, partly)
                tables[actions] = _Table(condition, askings(asking, letter), own)
            seen[letter] = replace(visibility, consents=tables[actions])
        return replace(decision, asking=asking, seen=MappingProxyType(seen), is_partial=partly)

    def _says_nothing(self, asking: Asking) -> bool:
        """Tell whether no patient has said anything, and silence permits."""
        as_stranger = replace(asking, custodian=False)
        return self.is_silent and silence_permits(as_stranger, self._overarching)

    def _condition(
        self, among: frozenset[int] | None, partly: bool, asking: Asking, type_: str, own: Predicate
    ) -> Predicate:
        with _closed_on_error(), self._lock:
            if among is not None:
                return self._consents.condition_among(asking, type_, among, own)
            return self._consents.condition(asking, type_, own, partly=partly)


@contextmanager
def _closed_on_error() -> Iterator[None]:
    """Turn whatever goes wrong with consents into Fault UNAVAILABLE: an error never opens a record.

    Nor does it hide one, for a KeyError that passed for "not listed" would make totals and pages differ.
    """
    try:
        yield
    except Fault:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not open a record
        # The name of the error alone: its text might quote a Consent.
        _LOG.error("Consents could not be evaluated", extra={"fields": {"error": type(error).__name__}})
        raise Fault(Kind.UNAVAILABLE, "Patients' consents cannot be evaluated now; try again.") from None


class _Table(Mapping[str, Predicate]):
    """Of each type what the consents leave, made when it is asked for."""

    def __init__(
        self,
        condition: Callable[[Asking, str, Predicate], Predicate],
        askings: list[Asking],
        own: Callable[[str], Predicate],
    ) -> None:
        self._condition = condition
        self._askings = askings
        self._own = own

    def __getitem__(self, type_: str) -> Predicate:
        if type_ in policy().explicit:
            # Who reads the audit does so by a role of its own, and the log stays whole for it.
            return EVERYTHING
        if type_ == _BINARY:
            return self._contents()
        if type_ == PROVENANCE:
            return all_of((self._said(type_), negate(any_of(self._telling()))))
        if type_ == "Task":
            return any_of((self._said(type_), self._reviews()))
        return self._said(type_)

    def __iter__(self) -> Iterator[str]:
        return iter(RESOURCE_TYPES)

    def __len__(self) -> int:
        return len(RESOURCE_TYPES)

    def _said(self, type_: str) -> Predicate:
        """Return what the patients whom records of ``type_`` are about leave of them."""
        own = self._own(type_)
        return all_of(self._condition(asking, type_, own) for asking in self._askings)

    def _telling(self) -> Iterator[Predicate]:
        """Yield, for each type, the Provenances that tell of a record of it that consents hide.

        Where that is too much for one search: of any record about a patient who hides some of the type.
        """
        # One of another Provenance is judged by its patients alone: a chain of them has no end.
        seen = ((each, self._said(each) if each == PROVENANCE else self[each]) for each in RESOURCE_TYPES)
        hidden = {type_: negate(found) for type_, found in sorted(seen) if found != EVERYTHING}
        if len(TELLS) * sum(map(weight, hidden.values())) > MOST_TESTS:
            hidden = {type_: coarse(each) for type_, each in hidden.items()}
        yield from (Chain(param, type_, each) for type_, each in hidden.items() for param in TELLS)

    def _reviews(self) -> Predicate:
        """Return the Tasks by which the asker's organisation reviews emergency accesses.

        That a patient denies the organisation everything must not hide from it that the glass was broken.
        """
        organization = self._askings[0].organization
        if organization is None:
            return NOTHING
        return all_of((Where("code", TokenIs(*REVIEW)), Where("owner", ReferenceIs((organization,)))))

    def _contents(self) -> Predicate:
        """Return the Binaries without a securityContext, and those whose context consents leave.

        A context that is not followed, or is not there, may be anybody's: what it covers is not told.
        """
        code = SECURITY_CONTEXT.code
        followed = (Chain(code, type_, self[type_]) for type_ in sorted(policy().binary_contexts))
        return any_of((negate(Where(code, Present())), *followed))


def is_asked(actor: Actor) -> bool:
    """Tell whether consents say anything to ``actor``.

    Not to a patient about the own record, with whosever app, nor to the house's own programs that have no
    purpose: they carry records, and look at none. One that registered purposes is asked whether or not it
    states one. A patient's context without a user counts as the patient's.
    """
    if actor.is_development:
        return False
    # Scopes of a system reach what the client does, not what the person does.
    is_system = any(scope.level == "system" for scope in actor.rights.scopes)
    if (actor.user or "").startswith("Patient/"):
        return is_system
    if actor.organization is not None or actor.user is not None:
        return True
    has_purpose = actor.purpose is not None or bool(actor.purposes)
    return has_purpose and (is_system or actor.patient is None)


def asking_of(actor: Actor, standing: Standing) -> Asking:
    """Return the actor as one who asks patients for their records."""
    return Asking(
        organization=actor.organization,
        user=actor.user,
        roles=actor.roles | standing.roles,
        device=f"Device/{actor.client}",
        others=frozenset(standing.others),
        purpose=actor.purpose,
    )


def askings(asking: Asking, letter: Letter) -> list[Asking]:
    """Return ``asking`` with each action that a letter of ``cruds`` is to a Consent."""
    return [replace(asking, action=action) for action in _ACTIONS[letter]]


def own_records(actor: Actor) -> Callable[[str], Predicate]:
    """Return, of a type, the records whose custodian the actor's organisation is, or the actor itself."""
    kind, _, id_ = (actor.user or "").partition("/")

    def own(type_: str) -> Predicate:
        if actor.organization is not None:
            return EVERYTHING if type_ in policy().universal else organisation(actor.organization, type_)
        return compartment(kind, (id_,), type_) if kind == "Practitioner" else NOTHING

    return own
