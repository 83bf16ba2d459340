"""An Actor becomes a Decision: for every letter of ``cruds`` what the caller may do it to, and why.

Pure: what has to be looked up first (proxies, agreements) is in :class:`Facts`. A decision is predicates; the
store joins them to whatever is asked, so nothing is filtered afterwards.
https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Final

from fhir_server.access.actor import AUDIT_ADMINISTRATOR, SYSTEM_ADMINISTRATOR, Actor
from fhir_server.access.agreements import Agreement
from fhir_server.access.policy import policy
from fhir_server.access.rules import common, compartment, organisation
from fhir_server.access.scopes import ANY, Letter, Level, Scope
from fhir_server.consent.asking import Asking
from fhir_server.consent.masks import Masks, masks_for
from fhir_server.resources.types import RESOURCE_TYPES
from fhir_server.search.parameters import SECURITY_CONTEXT
from fhir_server.search.parse import Options
from fhir_server.search.predicate import (
    EVERYTHING,
    NOTHING,
    AnyOf,
    Chain,
    Everything,
    Nothing,
    Predicate,
    all_of,
    any_of,
)
from fhir_server.search.visibility import Visibility

LETTERS: Final[tuple[Letter, ...]] = ("c", "r", "u", "d", "s")
_WRITES: Final = frozenset({"c", "u", "d"})
_DAY: Final = 86_400_000
_BINARY: Final = "Binary"
_CONSENT: Final = "Consent"


@dataclass(frozen=True, slots=True)
class Facts:
    """What was looked up for a decision.

    ``related``: ids of the patients whose proxy the user is now. ``agreements``: those whose receiver is the
    actor's organisation. ``sees_patient``, ``keeps_patient``: whether the user by itself may see, and may
    write about, the patient of the launch context; True where no user limits the client.
    """

    related: tuple[str, ...] = ()
    agreements: tuple[Agreement, ...] = ()
    sees_patient: bool = True
    keeps_patient: bool = True


@dataclass(frozen=True)
class Decision:
    """What one actor may do now. ``reasons``: of each agreement that grants nothing, why, for the audit.

    ``rights``: letter → types that a scope speaks of, whatever there is to be seen of them. ``asking``: who
    the patients' consents were asked for; None where they have nothing to say. ``is_partial``: some patients
    are hidden, whatever they permit, since all consents together are too much for one search.
    """

    actor: Actor
    rights: Mapping[Letter, frozenset[str]]
    seen: Mapping[Letter, Visibility]
    patients: Predicate = NOTHING
    reasons: tuple[str, ...] = ()
    asking: Asking | None = None
    is_partial: bool = False

    def visibility(self, letter: Letter) -> Visibility:
        """Return what the actor may do ``letter`` to: of each type, a predicate."""
        return self.seen[letter]

    def permits(self, letter: Letter, type_: str | None) -> bool:
        """Tell whether a scope allows ``letter`` on ``type_`` (None: on some type)."""
        types = self.rights[letter]
        return bool(types) if type_ is None else type_ in types

    def permits_any(self, type_: str | None) -> bool:
        """Tell whether a scope allows anything with ``type_`` (None: with some type)."""
        return any(self.permits(letter, type_) for letter in LETTERS)

    @cached_property
    def is_everything(self) -> bool:
        """True when nothing is hidden and nothing refused."""
        return all(visibility.is_everything for visibility in self.seen.values())

    @property
    def may_administer(self) -> bool:
        """True for who may run the server's own jobs and look at plans."""
        whole = all(visibility.is_everything_by_right for visibility in self.seen.values())
        return whole or SYSTEM_ADMINISTRATOR in self.actor.roles

    @property
    def may_relabel(self) -> bool:
        """True for who may change security labels: by a scope of its own, whatever else is allowed."""
        return self.actor.is_development or self.actor.rights.may_relabel

    @property
    def masks(self) -> Masks | None:
        """What the caller's purpose does not get to see of a record that it may see; None: nothing.

        Who states none of the purposes that its client registered gets what one of them would show.
        """
        if self.asking is None:
            return None
        stated = self.asking.purpose
        return masks_for(stated) if stated is not None else masks_for(*sorted(self.actor.purposes))

    def shows(self, type_: str) -> bool:
        """Tell whether whatever of ``type_`` the caller may update may also be read by it."""
        if self.seen["r"].consents is not None and self.seen["u"].consents is None:
            return False
        updated, read = (self.seen[letter].right_to(type_) for letter in ("u", "r"))
        ways = read.items if isinstance(read, AnyOf) else (read,)
        return isinstance(read, Everything) or updated == read or updated in ways

    def may_create_under(self, type_: str) -> bool:
        """Tell whether the caller may choose the id of a new ``type_``.

        Only who sees all of a type: to anybody else the answer would tell which ids are taken.
        """
        return isinstance(self.seen["u"].of(type_), Everything)


def decide(actor: Actor, now: int, facts: Facts, zone: tzinfo) -> Decision:
    """Decide what ``actor`` may do at ``now`` (ms since the epoch); ``zone``: of dates without one."""
    if actor.is_development:
        return _everything(actor)
    # A whole day, so that a scope with an approximate date is the same condition on each page of a search.
    options = Options(zone=zone, now=now - now % _DAY)
    refusals = {each: each.refusal(now, actor.purpose) for each in facts.agreements}
    grounds = Grounds(actor, facts, tuple(each for each, refusal in refusals.items() if refusal is None))
    # Letters that the same scopes give reach the same: one table, one visibility, for all of them.
    shared: dict[tuple[tuple[Scope, ...], bool], tuple[frozenset[str], Visibility]] = {}
    made: dict[Letter, tuple[frozenset[str], Visibility]] = {}
    for letter in LETTERS:
        scopes = tuple(scope for scope in actor.rights.scopes if letter in scope.letters)
        key = scopes, letter in _WRITES
        if key not in shared:
            table = grounds.table(scopes, options, writes=letter in _WRITES)
            shared[key] = frozenset(table), _visibility(actor, table)
        made[letter] = shared[key]
    return Decision(
        actor=actor,
        rights=MappingProxyType({letter: types for letter, (types, _) in made.items()}),
        seen=MappingProxyType({letter: visibility for letter, (_, visibility) in made.items()}),
        patients=grounds.home(),
        reasons=tuple(f"Contract/{each.id}: {refusal}" for each, refusal in refusals.items() if refusal),
    )


@dataclass(frozen=True, slots=True)
class Grounds:
    """On what grounds an actor sees or writes something; ``agreements`` are those in force for it."""

    actor: Actor
    facts: Facts
    agreements: tuple[Agreement, ...]

    def table(self, scopes: Sequence[Scope], options: Options, *, writes: bool) -> dict[str, Predicate]:
        """Return, for every type that one of ``scopes`` speaks of, what they reach of it."""
        ways: dict[str, list[Predicate]] = {}
        for scope in scopes:
            for type_ in _types(scope):
                ground = self.ground(scope.level, type_, writes=writes)
                ways.setdefault(type_, []).append(all_of((ground, scope.condition(type_, options))))
        table = {type_: any_of(dict.fromkeys(found)) for type_, found in ways.items()}
        contents = [scope.condition(_BINARY, options) for scope in scopes if scope.covers(_BINARY)]
        if contents:
            follows = followed(table)
            table[_BINARY] = any_of((table[_BINARY], *(all_of((follows, each)) for each in contents)))
        return table

    def ground(self, level: Level, type_: str, *, writes: bool) -> Predicate:
        """Return what the context of a scope reaches of ``type_``, for reading or for writing."""
        if writes and type_ in policy().unwritable:
            return NOTHING
        if writes and level != "system" and type_ in policy().governing and not self._files(type_):
            return NOTHING
        if level == "patient":
            return self._patient(type_, writes=writes)
        if level == "user":
            return self._user(type_, writes=writes)
        return self._system(type_, writes=writes)

    def _files(self, type_: str) -> bool:
        """Tell whether it is a Consent, and the actor the patient, or staff who record what one signed."""
        if type_ != _CONSENT:
            return False
        kind = (self.actor.user or "").partition("/")[0]
        is_staff = kind in ("Practitioner", "PractitionerRole") and self.actor.organization is not None
        return kind == "Patient" or is_staff

    def home(self) -> Predicate:
        """Return the patients about whom the actor may write at all, by any of its scopes."""
        levels = dict.fromkeys(scope.level for scope in self.actor.rights.scopes)
        return any_of(self.ground(level, "Patient", writes=True) for level in levels)

    def _patient(self, type_: str, *, writes: bool) -> Predicate:
        patient, facts = self.actor.patient, self.facts
        if patient is None or not (facts.keeps_patient if writes else facts.sees_patient):
            return NOTHING
        shared = NOTHING if writes else common(type_, knowledge=False)
        return any_of((compartment("Patient", (patient,), type_), shared))

    def _user(self, type_: str, *, writes: bool) -> Predicate:
        if type_ == "AuditEvent" and AUDIT_ADMINISTRATOR in self.actor.roles:
            return EVERYTHING
        kind, _, id_ = (self.actor.user or "").partition("/")
        shared = NOTHING if writes else common(type_, knowledge=True)
        if kind == "Patient":
            return any_of((compartment(kind, (id_,), type_), shared))
        if kind == "RelatedPerson":
            return any_of((compartment("Patient", self.facts.related, type_), shared))
        if kind in ("Practitioner", "PractitionerRole") and self.actor.organization is not None:
            return any_of((self._organisation(self.actor.organization, type_, writes=writes), shared))
        if kind == "Practitioner":
            return any_of((compartment(kind, (id_,), type_), shared))
        return NOTHING

    def _system(self, type_: str, *, writes: bool) -> Predicate:
        if self.actor.organization is None:
            return EVERYTHING
        shared = NOTHING if writes else common(type_, knowledge=True)
        return any_of((self._organisation(self.actor.organization, type_, writes=writes), shared))

    def _organisation(self, reference: str, type_: str, *, writes: bool) -> Predicate:
        """Return an organisation's own records and, for reading, what others share with it by agreement."""
        if type_ in policy().explicit:
            return NOTHING
        shared = () if writes else (each.shared(type_) for each in self.agreements)
        return any_of((organisation(reference, type_), *shared))


def followed(table: Mapping[str, Predicate]) -> Predicate:
    """Return the Binaries whose securityContext is something that ``table`` reaches: its rules are theirs.

    https://hl7.org/fhir/R4/binary.html#security
    """
    contexts = ((type_, table.get(type_, NOTHING)) for type_ in sorted(policy().binary_contexts))
    code = SECURITY_CONTEXT.code
    return any_of(Chain(code, type_, rule) for type_, rule in contexts if not isinstance(rule, Nothing))


def context_rule(actor: Actor, facts: Facts, now: int, *, writes: bool) -> Predicate:
    """Return which patients the user behind a token may see or write about, launch context apart."""
    in_force = tuple(each for each in facts.agreements if each.refusal(now, actor.purpose) is None)
    return Grounds(actor, facts, in_force).ground("user", "Patient", writes=writes)


def _types(scope: Scope) -> frozenset[str]:
    if scope.type != ANY:
        return frozenset((scope.type,))
    return RESOURCE_TYPES - policy().explicit


def _visibility(actor: Actor, table: Mapping[str, Predicate]) -> Visibility:
    """Return a visibility; the type that most scopes mean is left out where it can be the default."""
    whole = sum(isinstance(predicate, Everything) for predicate in table.values())
    default: Predicate = EVERYTHING if whole > len(RESOURCE_TYPES) // 2 else NOTHING
    by_type = {type_: table.get(type_, NOTHING) for type_ in RESOURCE_TYPES}
    kept = {type_: predicate for type_, predicate in by_type.items() if type(predicate) is not type(default)}
    return Visibility(
        reason=actor.client,
        by_type=MappingProxyType(kept),
        default=default,
        holder=actor.holder,
    )


@lru_cache(maxsize=16)
def _everything(actor: Actor) -> Decision:
    visibility = Visibility.everything(actor.client)
    return Decision(
        actor=actor,
        rights=MappingProxyType(dict.fromkeys(LETTERS, RESOURCE_TYPES)),
        seen=MappingProxyType(dict.fromkeys(LETTERS, visibility)),
        patients=EVERYTHING,
    )


DEVELOPMENT: Final = Actor.development()

NOBODY: Final = Actor(client="nobody")
"""Who has shown no token, and may learn what the server can do."""
