"""A Rule and who asks, compiled to a predicate: which records of a type may be seen.

Three parts decide: what is denied, what is permitted, and whether silence permits the rest. Whoever a
permission speaks to gets nothing more by silence: "B may see normal records" does not leave B the others.
conformance/decisions/0014-what-a-consent-means.md
"""

from __future__ import annotations

from collections.abc import Callable

from fhir_server.consent.asking import Asking, silence_permits
from fhir_server.consent.policy import Overarching, policy, sensitivities_below
from fhir_server.consent.records import covered
from fhir_server.consent.rule import Clause, Rule, Terms
from fhir_server.search.predicate import (
    EVERYTHING,
    NOTHING,
    Predicate,
    TokenIn,
    Where,
    all_of,
    any_of,
    negate,
)

Binds = Callable[[Terms], bool]
"""Whether a denial with these terms counts against the asker at all."""


def compile_rule(rule: Rule, asking: Asking, type_: str, overarching: Overarching = "treatment") -> Predicate:
    """Return which records of ``type_`` about a patient under ``rule`` the asker may see.

    ``asking.custodian`` says whether the records are taken to be the asker's own; :mod:`consent.groups` joins
    both. The empty Rule gives the answer for patients who have said nothing.
    """
    usual = _permitted(rule, asking, type_, overarching)
    lifts = asking.lifts or asking.breaker in rule.lifted
    if not lifts or asking.purposes.isdisjoint(policy().break_glass.purposes):
        return usual
    sealed = frozenset(
        (system, each)
        for system, code in policy().break_glass.proof
        for each in sensitivities_below(system, code)
    )
    denied = any_of(_denied(each, asking, type_, _names_emergency) for each in _meant(rule, asking))
    return any_of((usual, all_of((negate(Where("_security", TokenIn(sealed))), negate(denied)))))


def _permitted(rule: Rule, asking: Asking, type_: str, overarching: Overarching) -> Predicate:
    binds = binding(asking)
    clauses = _meant(rule, asking)
    denied = [_denied(each, asking, type_, binds) for each in clauses]
    spoken_to = any(each.permit and speaks_to(each, asking) and binds(each.terms) for each in clauses)
    if silence_permits(asking, overarching) and not spoken_to:
        return negate(any_of(denied))
    granted = [_granted(each, asking, type_) for each in clauses]
    if sum(each != NOTHING for each in granted) == 1:
        # A clause never denies what it grants: the usual single one need not be asked twice.
        denied = [no for no, yes in zip(denied, granted, strict=True) if yes == NOTHING]
    return all_of((any_of(granted), negate(any_of(denied))))


def binding(asking: Asking) -> Binds:
    """Return which provisions count against the asker: a custodian or proxy must be named, or its role."""
    return (lambda _: True) if asking.standing == "stranger" else (lambda terms: _names(terms, asking))


def speaks_to(clause: Clause, asking: Asking) -> bool:
    """Tell whether actor, action and purpose of a provision fit the asking.

    A purpose that is not known may be any: every denial fits it, and no permission.
    """
    terms = clause.terms
    purposes = terms.purposes
    fits = not asking.purposes.isdisjoint(purposes) or (asking.is_vague and not clause.permit)
    return (
        (not terms.actors or _names(terms, asking))
        and (not terms.actions or not asking.actions.isdisjoint(terms.actions))
        and (not purposes or fits)
    )


def _names(terms: Terms, asking: Asking) -> bool:
    """Tell whether the terms name the asker, by reference, role or both."""
    return any(
        (not reference or reference in asking.names) and (not role or role in asking.roles)
        for reference, role in terms.actors
    )


def _meant(rule: Rule, asking: Asking) -> list[Clause]:
    """Return the clauses that may speak of the action: of collecting, those that name actions alone.

    To record what is found must stay possible for who may not read it later: it is a duty of who treats.
    """
    return [each for each in rule.clauses if asking.action != "collect" or _names_an_action(each)]


def _names_an_action(clause: Clause) -> bool:
    return bool(clause.terms.actions) or any(_names_an_action(each) for each in clause.exceptions)


def _names_emergency(terms: Terms) -> bool:
    return not policy().break_glass.purposes.isdisjoint(terms.purposes)


def _granted(clause: Clause, asking: Asking, type_: str) -> Predicate:
    """Return the records that the clause permits: its own without its exceptions, or theirs if it denies."""
    if not speaks_to(clause, asking):
        return NOTHING
    own = covered(clause.terms, type_, permit=clause.permit)
    if clause.permit:
        return all_of((own, negate(any_of(_effective(each, asking, type_) for each in clause.exceptions))))
    return all_of((own, any_of(_granted(each, asking, type_) for each in clause.exceptions)))


def _effective(clause: Clause, asking: Asking, type_: str) -> Predicate:
    """Return the records for which the clause, its exceptions considered, has its own say."""
    if clause.permit:
        return _granted(clause, asking, type_)
    return _denied(clause, asking, type_, lambda _: True)


def _denied(clause: Clause, asking: Asking, type_: str, binds: Binds, *, bound: bool = False) -> Predicate:
    """Return the records that the clause denies by a provision that binds, itself or one around it."""
    if not speaks_to(clause, asking):
        return NOTHING
    bound = bound or binds(clause.terms)
    own = covered(clause.terms, type_, permit=clause.permit)
    inner = any_of(_denied(each, asking, type_, binds, bound=bound) for each in clause.exceptions)
    if clause.permit:
        return all_of((own, inner))
    saved = any_of(_effective(each, asking, type_) for each in clause.exceptions)
    return all_of((own, negate(saved), EVERYTHING if bound else inner))
