"""What one patient's Consents say of one record, told simply and with reasons.

It reads the directives themselves, one after the other, and never a Rule or a predicate: what is compiled
must agree with it on any data (tests/consent/test_agreement.py). Slow: for one record at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

from fhir_server.consent.asking import Asking, silence_permits
from fhir_server.consent.combine import standing
from fhir_server.consent.plain_records import Record, is_about, labels
from fhir_server.consent.policy import Overarching, policy, sensitivities_below
from fhir_server.consent.provisions import Provision
from fhir_server.consent.source import Directive

Reason = Literal["provision", "limited", "silence", "unreadable", "lifted", "sealed"]
"""Why: a provision says so; one permits the asker something else only; nothing is said; a Consent cannot be
understood; the glass is broken; it is broken, but a label or a provision keeps the record closed."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What decided: a provision of a Consent."""

    directive: Directive
    provision: Provision


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the record may be seen, why, and by which provisions (none: by silence)."""

    permit: bool
    reason: Reason
    grounds: tuple[Ground, ...] = ()


@dataclass(frozen=True, slots=True)
class _Opinion:
    """What one provision with its exceptions says of the record; ``binds``: it counts against the asker."""

    permit: bool
    binds: bool
    grounds: tuple[Ground, ...]


def decide(
    directives: Iterable[Directive],
    asking: Asking,
    record: Record,
    instant: int,
    *,
    overarching: Overarching = "treatment",
    own: bool = False,
) -> Verdict:
    """Decide on a record about the one patient whose directives these are, at ``instant`` (ms).

    ``own``: the asker's organisation is the record's custodian; then what it may see as a custodian or as a
    stranger it may see.
    """
    current = standing(directives)
    as_stranger = _Case(replace(asking, custodian=False), record, instant, overarching).verdict(current)
    if not own or as_stranger.permit:
        return as_stranger
    return _Case(replace(asking, custodian=True), record, instant, overarching).verdict(current)


@dataclass(frozen=True, slots=True)
class _Case:
    """One question to every directive."""

    asking: Asking
    record: Record
    instant: int
    overarching: Overarching

    def verdict(self, directives: tuple[Directive, ...]) -> Verdict:
        usual = self._usual(directives)
        emergency = policy().break_glass
        is_lifted = self.asking.lifts and not self.asking.purposes.isdisjoint(emergency.purposes)
        if usual.permit or not is_lifted:
            return usual
        for system, code in emergency.proof:
            if any((system, each) in labels(self.record) for each in sensitivities_below(system, code)):
                return Verdict(permit=False, reason="sealed")
        opinions = self._opinions(directives, _names_emergency)
        against = [each for each in opinions if each.binds and not each.permit]
        if against:
            return Verdict(permit=False, reason="sealed", grounds=_joined(against))
        return Verdict(permit=True, reason="lifted")

    def _usual(self, directives: tuple[Directive, ...]) -> Verdict:
        opinions = self._opinions(directives, self._binds)
        against = [each for each in opinions if each.binds and not each.permit]
        if against:
            grounds = _joined(against)
            is_readable = all(each.directive.is_readable for each in grounds)
            return Verdict(permit=False, reason="provision" if is_readable else "unreadable", grounds=grounds)
        permitting = [each for each in opinions if each.permit]
        if permitting:
            return Verdict(permit=True, reason="provision", grounds=_joined(permitting))
        limiting = tuple(
            Ground(directive, provision)
            for directive in directives
            for provision in directive.provisions
            if provision.permit and self._means(provision)
            if self._speaks(provision) and self._binds(provision)
        )
        if limiting:
            return Verdict(permit=False, reason="limited", grounds=limiting)
        return Verdict(permit=silence_permits(self.asking, self.overarching), reason="silence")

    def _opinions(
        self, directives: tuple[Directive, ...], binds: Callable[[Provision], bool]
    ) -> list[_Opinion]:
        found = (
            self._opinion(directive, each, binds, bound=False)
            for directive in directives
            for each in directive.provisions
            if self._means(each)
        )
        return [each for each in found if each is not None]

    def _opinion(
        self,
        directive: Directive,
        provision: Provision,
        binds: Callable[[Provision], bool],
        *,
        bound: bool,
    ) -> _Opinion | None:
        """Return what a provision says; None when it does not speak of this record, asker and time."""
        if not self._speaks(provision) or not is_about(self.record, provision):
            return None
        bound = bound or binds(provision)
        heard = [self._opinion(directive, each, binds, bound=bound) for each in provision.exceptions]
        opinions = [each for each in heard if each is not None]
        exceptions = [each for each in opinions if each.permit != provision.permit]
        if exceptions:
            binding = any(each.binds for each in exceptions)
            return _Opinion(permit=not provision.permit, binds=binding, grounds=_joined(exceptions))
        # What is left are exceptions that their own exceptions have taken back.
        grounds = (Ground(directive, provision), *_joined(opinions))
        return _Opinion(provision.permit, bound or any(each.binds for each in opinions), grounds)

    def _binds(self, provision: Provision) -> bool:
        """Tell whether a denial counts: to a custodian or proxy if it names it or its role, else always."""
        return self.asking.standing == "stranger" or self._is_named(provision)

    def _is_named(self, provision: Provision) -> bool:
        for reference, role in provision.terms.actors:
            is_it = not reference or reference in self.asking.names
            if is_it and (not role or role in self.asking.roles):
                return True
        return False

    def _means(self, provision: Provision) -> bool:
        """Tell whether a root may speak of the action: of collecting, one that names actions alone."""
        return self.asking.action != "collect" or _names_an_action(provision, self.instant)

    def _speaks(self, provision: Provision) -> bool:
        """Tell whether time, actor, action and purpose fit."""
        terms = provision.terms
        if not provision.start <= self.instant <= provision.end:
            return False
        if terms.actors and not self._is_named(provision):
            return False
        if terms.actions and not any(each in terms.actions for each in self.asking.actions):
            return False
        if not terms.purposes or any(each in terms.purposes for each in self.asking.purposes):
            return True
        return self.asking.is_vague and not provision.permit


def _names_an_action(provision: Provision, instant: int) -> bool:
    if not provision.start <= instant <= provision.end:
        return False
    inner = (_names_an_action(each, instant) for each in provision.exceptions)
    return bool(provision.terms.actions) or any(inner)


def _names_emergency(provision: Provision) -> bool:
    return any(each in policy().break_glass.purposes for each in provision.terms.purposes)


def _joined(opinions: Iterable[_Opinion]) -> tuple[Ground, ...]:
    return tuple(ground for each in opinions for ground in each.grounds)
