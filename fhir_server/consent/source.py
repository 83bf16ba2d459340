"""An R4 Consent read into a :class:`Directive`, or refused with every reason at once.

What this server would store it must enforce: a Consent that is active and says what cannot be enforced is
refused, never stored as a promise that is broken. One of another status promises nothing and is not checked.
https://hl7.org/fhir/R4/consent.html
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import tzinfo
from typing import Any, Final

from msgspec import structs

from fhir_server.consent.policy import ACT_CODE, policy, purposes_above
from fhir_server.consent.provisions import (
    MOST_PROVISIONS,
    MOST_VALUES,
    Provision,
    Reading,
    Tree,
    read_provision,
)
from fhir_server.faults import Fault, Issue, Kind
from fhir_server.resources.reference import parse
from fhir_server.search.dates import OPEN_END, span

SCOPE_SYSTEM: Final = "http://terminology.hl7.org/CodeSystem/consentscope"

_UNCONDITIONAL: Final = frozenset({"id", "extension", "modifierExtension", "period", "provision"})

ACTIVE: Final = "active"
SUPERSEDING: Final = frozenset({ACTIVE, "inactive"})
"""Statuses of a Consent that takes the place of older ones: one that was withdrawn does not revive them."""


@dataclass(frozen=True, slots=True)
class Directive:
    """One Consent as far as it decides who sees what.

    ``patient``: ``Patient/1``. ``policies``: what it agrees to, with whom: two Consents of a patient with the
    same set are about the same, and the newer one holds. ``made``: when, in ms since the epoch (dateTime, but
    never later than it was stored); ``stored``: meta.lastUpdated. ``provisions``: each speaks for itself.
    ``is_readable``: False for one that counts as a refusal because it cannot be understood.
    """

    id: str
    version: str
    patient: str
    status: str
    policies: frozenset[str]
    made: int
    stored: int
    provisions: tuple[Provision, ...]
    is_readable: bool = True


def refusals(tree: Tree, zone: tzinfo, base: str = "") -> tuple[Issue, ...]:
    """Return every reason why a Consent cannot be enforced, with FHIRPath expressions; () when it can.

    ``zone``: of dates without one. ``base``: the server's address without a slash at the end.
    """
    return _read(tree, zone, base)[1]


def directive(tree: Tree, zone: tzinfo, base: str = "") -> Directive | None:
    """Read a Consent; None for one that says nothing about data (scopes adr and treatment).

    Faults: UNPROCESSABLE with all of :func:`refusals`.
    """
    found, issues = _read(tree, zone, base)
    if issues:
        raise Fault(Kind.UNPROCESSABLE, "The Consent cannot be enforced as it is written.", issues=issues)
    return found


def stored_directive(tree: Tree, zone: tzinfo, base: str = "") -> Directive | None:
    """Read a Consent that is stored already: one that cannot be understood any more counts as a refusal."""
    found, issues = _read(tree, zone, base)
    if not issues:
        return found
    refusal = (Provision(permit=False, path="Consent"),)
    return _directive(tree, zone, base, refusal, is_readable=False)


def _read(tree: Tree, zone: tzinfo, base: str) -> tuple[Directive | None, tuple[Issue, ...]]:
    status = tree.get("status")
    reading = Reading(zone, base, _patient(tree, base))
    purpose = _scope(reading, tree)
    if purpose is None and not reading.issues:
        return None, ()
    if status != ACTIVE:
        return _directive(tree, zone, base, ()), ()
    _check(reading, tree)
    provisions = _provisions(reading, tree)
    if purpose:
        provisions = tuple(_within(reading, each, purpose) for each in provisions)
    if reading.values > MOST_VALUES or reading.provisions > MOST_PROVISIONS:
        reading.refuse("Consent.provision", f"A Consent holds at most {MOST_VALUES} codes.", "too-costly")
    return _directive(tree, zone, base, provisions), tuple(dict.fromkeys(reading.issues))


def _patient(tree: Tree, base: str) -> str:
    """Return ``Patient/1``; "" when the Consent names no patient of this server."""
    value = tree.get("patient")
    text = value.get("reference") if isinstance(value, dict) else None
    found = parse(text, base) if isinstance(text, str) else None
    return found.local if found is not None and found.local is not None and found.type == "Patient" else ""


def _scope(reading: Reading, tree: Tree) -> str | None:
    """Return the one purpose that the scope is about, "" for any; None for a scope that is not about data."""
    scope = tree.get("scope")
    found = reading.codings(scope if isinstance(scope, dict) else {}, "Consent.scope")
    codes = [code for (system, code), _ in found if system == SCOPE_SYSTEM]
    enforced = [policy().scopes[code] for code in codes if code in policy().scopes]
    if enforced:
        return enforced[0]
    if not any(code in policy().other_scopes for code in codes) and not reading.issues:
        reading.refuse("Consent.scope", "The scope is patient-privacy, research, adr or treatment.")
    return None


def _check(reading: Reading, tree: Tree) -> None:
    """Refuse what stands outside the provisions and would change their meaning."""
    if not reading.patient:
        reading.refuse("Consent.patient", "Name the patient by a literal reference: Patient/1.", "required")
    if "implicitRules" in tree:
        reading.refuse("Consent.implicitRules", "Rules agreed elsewhere cannot be enforced; leave them out.")
    for path in _modifiers(tree, "Consent"):
        reading.refuse(path, "A modifier extension may change what is agreed; leave it out.", "extension")
    concepts = reading.items(tree, "category", "Consent")
    categories = [code for each, where in concepts for code, _ in reading.codings(each, where)]
    if not any(code in policy().categories.get(system, ()) for system, code in categories):
        reading.refuse("Consent.category", "No category is one of those that docs/consent.md lists.")
    for each, where in reading.items(tree, "policy", "Consent"):
        if not isinstance(each.get("uri"), str) and not isinstance(each.get("authority"), str):
            reading.refuse(where, "A policy needs its uri.", "required")


def _modifiers(node: Any, path: str) -> Iterator[str]:
    """Yield where modifier extensions stand, contained resources aside, whatever the depth."""
    waiting: list[tuple[Any, str]] = [(node, path)]
    while waiting:
        each, where = waiting.pop()
        if isinstance(each, dict):
            if "modifierExtension" in each:
                yield f"{where}.modifierExtension"
            waiting += [(value, f"{where}.{key}") for key, value in each.items() if key != "contained"]
        elif isinstance(each, list):
            waiting += [(value, f"{where}[{at}]") for at, value in enumerate(each)]


def _provisions(reading: Reading, tree: Tree) -> tuple[Provision, ...]:
    """Read the root. Its type says what is agreed; without one the policyRule (OPTIN, OPTOUT …) does."""
    root = tree.get("provision", {})
    path = "Consent.provision"
    if not isinstance(root, dict):
        reading.refuse(path, "provision must be an object.", "structure")
        return ()
    kind = root.get("type")
    ruled = _policy_rule(tree)
    if kind not in (None, "permit", "deny"):
        reading.refuse(f"{path}.type", "A provision says permit or deny.", "invalid")
    elif kind is None and ruled is None:
        reading.refuse(f"{path}.type", "Say permit or deny, or opt in or out by policyRule.", "required")
    elif kind is None and not _UNCONDITIONAL.issuperset(root):
        # R4's own examples mean an exception by this, others a limit: nobody should have to guess.
        reading.refuse(f"{path}.type", "A root with conditions must say permit or deny itself.", "required")
    elif kind is not None and ruled is not None and (kind == "permit") != ruled:
        reading.refuse("Consent.policyRule", "policyRule and the root's type contradict each other.")
    permit = kind == "permit" if kind is not None else bool(ruled)
    return read_provision(reading, root, path, permit=permit)


def _policy_rule(tree: Tree) -> bool | None:
    """Return what policyRule opts for; None when it says neither, as a regulation does."""
    for system, code in _codes(tree.get("policyRule")):
        if system == ACT_CODE and code in policy().policy_rules:
            return policy().policy_rules[code]
    return None


def _within(reading: Reading, provision: Provision, purpose: str) -> Provision:
    """Return a provision of a scope that is about one purpose alone."""
    stated = provision.terms.purposes
    if not stated:
        return replace(provision, terms=structs.replace(provision.terms, purposes=(purpose,)))
    if any(purpose not in purposes_above(each) for each in stated):
        reading.refuse(f"{provision.path}.purpose", f"The scope is {purpose} alone; file the rest apart.")
    return provision


def _directive(
    tree: Tree, zone: tzinfo, base: str, provisions: tuple[Provision, ...], *, is_readable: bool = True
) -> Directive:
    meta = tree.get("meta")
    about = meta if isinstance(meta, dict) else {}
    # What is not stored yet is newer than all that is.
    stored = _moment(about.get("lastUpdated"), zone, OPEN_END)
    return Directive(
        id=str(tree.get("id", "")),
        version=str(about.get("versionId", "")),
        patient=_patient(tree, base),
        status=str(tree.get("status", "")),
        policies=_policies(tree, base),
        made=min(_moment(tree.get("dateTime"), zone, stored), stored),
        stored=stored,
        provisions=provisions,
        is_readable=is_readable,
    )


def _moment(text: Any, zone: tzinfo, otherwise: int) -> int:
    try:
        return span(text, zone)[0]
    except (TypeError, ValueError):
        return otherwise


def _policies(tree: Tree, base: str) -> frozenset[str]:
    """Return what two Consents must share to be about the same: organisations, and policy uris.

    Without a policy's uri the policyRule and the categories stand for it.
    """
    organizations = {f"by {_written(each, base)}" for each in _list(tree, "organization")}
    uris = {f"to {each['uri']}" for each in _list(tree, "policy") if isinstance(each.get("uri"), str)}
    if not uris:
        concepts = [tree.get("policyRule"), *_list(tree, "category")]
        uris = {f"as {system}|{code}" for each in concepts for system, code in _codes(each)}
    return frozenset(organizations | uris)


def _written(reference: Tree, base: str) -> str:
    text = reference.get("reference")
    return (parse(text, base).local or text) if isinstance(text, str) else ""


def _list(tree: Tree, name: str) -> list[Tree]:
    value = tree.get(name)
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _codes(concept: Any) -> list[tuple[str, str]]:
    codings = _list(concept, "coding") if isinstance(concept, dict) else []
    return [(str(each.get("system", "")), str(each.get("code", ""))) for each in codings]
