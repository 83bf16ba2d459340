"""The deployment's policy on consent: what its codes mean and what silence permits.

Data, in ``conformance/policies/consent.json``; docs/consent.md explains every list.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final, Literal

import msgspec

Overarching = Literal["treatment", "permit", "deny"]
"""What holds of a patient who has said nothing: treatment by whoever reaches the record, all, or nothing."""

CONFIDENTIALITY: Final = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
ACT_CODE: Final = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
ACT_REASON: Final = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
DATA_LEVEL: Final = "urn:fhir-server:data-level"
"""The five data levels of GB/T 39725."""

Code = tuple[str, str]
"""System and code."""


@dataclass(frozen=True, slots=True)
class Ordered:
    """Labels of which a higher one includes the lower: codes from the least to the most protected.

    ``unlabelled``: what a record without such a label counts as.
    """

    order: tuple[str, ...]
    unlabelled: str


@dataclass(frozen=True, slots=True)
class BreakGlass:
    """Who may lift consent in an emergency, for which purposes, and which labels stay closed even then."""

    purposes: frozenset[str]
    roles: frozenset[str]
    proof: tuple[Code, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """The lists of ``consent.json``.

    ``purposes``, ``sensitivities``: system → code → the codes right above it, with spaces between.
    ``silence``: standing → purposes that silence permits.
    ``ordered``: system → its labels in order.
    ``recipients``: actor roles that say no more than "who receives".
    ``roles``: systems whose codes say what a person is or does; ``bystanders``: codes among them of who
    neither receives nor is meant.
    ``actions``: action → others that it implies.
    ``scopes``: enforced scope → the one purpose it is about, "" for any; ``other_scopes``: not about data.
    ``categories``: system → codes. ``policy_rules``: v3-ActCode → whether it permits.
    ``*_parameters``: search parameters that hold what a record is about, the type of a document, a media
    type, an author.
    ``contexts``: types whose dependents count as related.
    ``standing``: types that belong to a person and to no time or episode.
    """

    purposes: dict[str, dict[str, str]]
    silence: dict[str, frozenset[str]]
    ordered: dict[str, Ordered]
    sensitivities: dict[str, dict[str, str]]
    recipients: dict[str, frozenset[str]]
    roles: frozenset[str]
    bystanders: frozenset[str]
    actions: dict[str, frozenset[str]]
    scopes: dict[str, str]
    other_scopes: frozenset[str]
    categories: dict[str, frozenset[str]]
    policy_rules: dict[str, bool]
    code_parameters: frozenset[str]
    document_parameters: dict[str, str]
    content_parameters: dict[str, str]
    author_parameters: frozenset[str]
    contexts: frozenset[str]
    standing: frozenset[str]
    break_glass: BreakGlass


@cache
def policy() -> Policy:
    """Return the policy, read once."""
    content = (files("conformance") / "policies" / "consent.json").read_bytes()
    return msgspec.json.decode(content, type=Policy)


@cache
def purposes_above(code: str) -> frozenset[str]:
    """Return a purpose and all that include it; nothing for one that no system here knows."""
    known = {name: above for codes in policy().purposes.values() for name, above in codes.items()}
    return _above(code, known)


@cache
def purpose_system(code: str) -> str:
    """Return the code system of a purpose; that of v3-ActReason for one that no system here knows."""
    systems = policy().purposes
    return next((system for system, codes in systems.items() if code in codes), ACT_REASON)


@cache
def sensitivities_below(system: str, code: str) -> frozenset[str]:
    """Return a sensitivity and all that it includes; nothing for one that is not known."""
    known = policy().sensitivities.get(system, {})
    return frozenset(each for each in known if code in _above(each, known))


def _above(code: str, known: Mapping[str, str]) -> frozenset[str]:
    found: set[str] = set()
    waiting = [code]
    while waiting:
        each = waiting.pop()
        if each in known and each not in found:
            found.add(each)
            waiting += known[each].split()
    return frozenset(found)
