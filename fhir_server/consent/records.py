"""Which records of a type a provision is about, as a predicate over what the index holds.

A denial reaches what it may be about, a permission only what it surely is: a record without a date, or with a
label of an unknown height, is denied by a provision about dates or labels and permitted by none.
docs/consent.md tells each element's meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

from fhir_server.consent.policy import Ordered, policy, sensitivities_below
from fhir_server.consent.provisions import OWN
from fhir_server.consent.rule import Terms
from fhir_server.consent.tables import (
    author_parameters,
    clinical_date,
    code_parameters,
    medication_parameter,
    references,
)
from fhir_server.search.predicate import (
    EVERYTHING,
    NOTHING,
    Chain,
    DateIs,
    Has,
    IdIn,
    Predicate,
    Present,
    ReferenceIs,
    TokenIn,
    TokenIs,
    Where,
    all_of,
    any_of,
    negate,
)

_SECURITY = "_security"


@lru_cache(maxsize=20_000)
def covered(terms: Terms, type_: str, *, permit: bool) -> Predicate:
    """Return which records of ``type_`` the terms are about, actor, action and purpose apart."""
    conditions: list[Predicate] = []
    if terms.labels:
        conditions.append(any_of(_labels(terms, permit=permit)))
    if terms.classes:
        conditions.append(any_of(_class(kind, code, type_) for kind, code in terms.classes))
    if terms.codes:
        conditions.append(_coded(frozenset(terms.codes), type_))
    if terms.period is not None:
        conditions.append(_dated(*terms.period, type_, permit=permit))
    if terms.data:
        conditions.append(any_of(_DATA[meaning](to, type_, permit) for meaning, to in terms.data))
    return all_of(conditions)


def _labels(terms: Terms, *, permit: bool) -> Iterator[Predicate]:
    """Yield a condition for each label: one of an order means it and what is higher (permit: lower)."""
    for system, code in terms.labels:
        ordered = policy().ordered.get(system)
        if ordered is not None and code in ordered.order:
            at = ordered.order.index(code)
            yield negate(_at_least(system, ordered, at + 1)) if permit else _at_least(system, ordered, at)
        else:
            members = frozenset((system, each) for each in sensitivities_below(system, code))
            yield Where(_SECURITY, TokenIn(members))


def _at_least(system: str, ordered: Ordered, at: int) -> Predicate:
    """Return the records whose highest label is at ``at`` or above it.

    A record with labels of the system of which none is known counts as the highest; one without any as the
    policy says.
    """
    labelled = Where(_SECURITY, TokenIs(system, None))
    known = Where(_SECURITY, TokenIn(frozenset((system, each) for each in ordered.order)))
    ways = [all_of((labelled, negate(known)))]
    if at < len(ordered.order):
        ways.append(Where(_SECURITY, TokenIn(frozenset((system, each) for each in ordered.order[at:]))))
    if ordered.order.index(ordered.unlabelled) >= at:
        ways.append(negate(labelled))
    return any_of(ways)


def _class(kind: str, code: str, type_: str) -> Predicate:
    """Return the records of a resource type, of a type of document, or with content of a media type."""
    if kind == "type":
        return EVERYTHING if code == type_ else NOTHING
    known = policy().document_parameters if kind == "document" else policy().content_parameters
    param = known.get(type_)
    system = "http://loinc.org" if kind == "document" else None
    return NOTHING if param is None else Where(param, TokenIs(system, code))


def _coded(codes: frozenset[tuple[str, str]], type_: str) -> Predicate:
    test = TokenIn(frozenset(codes))
    ways: list[Predicate] = [Where(param, test) for param in code_parameters(type_)]
    medication = medication_parameter(type_)
    if medication is not None:
        ways.append(Chain(medication, "Medication", Where("code", test)))
    return any_of(ways)


def _dated(lo: int, hi: int, type_: str, *, permit: bool) -> Predicate:
    """Return the records whose clinical date lies within the period (permit) or touches it (deny)."""
    param = clinical_date(type_)
    if type_ in policy().standing:
        return EVERYTHING if permit else NOTHING
    if param is None:
        return NOTHING if permit else EVERYTHING
    if permit:
        return all_of((Where(param, DateIs("eq", lo, hi)), negate(Where(param, DateIs("ne", lo, hi)))))
    return any_of((Where(param, DateIs("ap", lo, hi)), negate(Where(param, Present()))))


def _instance(reference: str, type_: str, _permit: bool) -> Predicate:
    named, _, id_ = reference.partition("/")
    if type_ != named:
        return NOTHING
    return IdIn((id_,)) if id_ else EVERYTHING


def _dependents(reference: str, type_: str, permit: bool) -> Predicate:
    """Return the resource and those that refer to it; of the patient, all that is about the patient."""
    if reference == OWN:
        return EVERYTHING
    if type_ in policy().standing and not permit:
        return _instance(reference, type_, permit)
    return any_of((_instance(reference, type_, permit), *_referring(reference, type_)))


def _referring(reference: str, type_: str) -> Iterator[Predicate]:
    it = ReferenceIs((reference,))
    return (Where(param, it) for param in references(type_, reference.partition("/")[0]))


def _related(reference: str, type_: str, permit: bool) -> Predicate:
    """Return the resource, those it refers to and, of an encounter, episode or plan, what belongs to it."""
    named, _, id_ = reference.partition("/")
    own = _instance(reference, type_, permit)
    if reference == OWN or (type_ in policy().standing and not permit):
        return own
    ways = [own, *(Has(named, param, IdIn((id_,))) for param in references(named, type_))]
    if named in policy().contexts:
        ways += _referring(reference, type_)
    return any_of(ways)


def _authored(reference: str, type_: str, _permit: bool) -> Predicate:
    """Return the records that name this author; of an organisation also those of its encounters."""
    named = reference.partition("/")[0]
    it = ReferenceIs((reference,))
    ways: list[Predicate] = [Where(param, it) for param in author_parameters(type_, named)]
    if named == "Organization" and type_ != "Encounter":
        provided = Where("service-provider", it)
        ways += [Chain(param, "Encounter", provided) for param in references(type_, "Encounter")]
    return any_of(ways)


_DATA: dict[str, Callable[[str, str, bool], Predicate]] = {
    "instance": _instance,
    "related": _related,
    "dependents": _dependents,
    "authoredby": _authored,
}
"""https://hl7.org/fhir/R4/codesystem-consent-data-meaning.html"""
