"""A verdict in words, Chinese and English: whether a record may be seen, and which provision says so.

The words name codes and references as the Consent does, and nothing of the record.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

import msgspec

from fhir_server.clock import instant
from fhir_server.consent.plain import Ground, Verdict
from fhir_server.consent.policy import Overarching
from fhir_server.consent.provisions import OWN, Provision
from fhir_server.consent.rule import Terms
from fhir_server.search.dates import OPEN_END, OPEN_START

Language = Literal["zh", "en"]


@dataclass(frozen=True, slots=True)
class Words:
    """One language: sentences by reason, and how elements, codes and joints are written."""

    outcome: dict[str, str]
    reasons: dict[str, str]
    silence: dict[str, str]
    provision: dict[str, str]
    elements: dict[str, str]
    codes: dict[str, str]
    whole: str
    comma: str
    listing: str
    between: str
    stop: str


def explain(
    verdict: Verdict, language: Language, overarching: Overarching = "treatment", *, masked: bool = False
) -> str:
    """Return the verdict in sentences: the outcome with its reason, then each provision that decided.

    ``masked``: the purpose does not get to see all of what is permitted.
    """
    words = _words()[language]
    reason = words.reasons[verdict.reason].format(policy=words.silence[overarching])
    permitted = "masked" if masked else "permit"
    first = words.outcome[permitted if verdict.permit else "deny"] + reason + words.stop
    told = (_ground(each, words) for each in dict.fromkeys(verdict.grounds))
    return " ".join((first, *told)).strip()


def describe(provision: Provision, language: Language) -> str:
    """Return what a provision permits or denies, its exceptions apart."""
    return _provision(provision, _words()[language])


def _ground(ground: Ground, words: Words) -> str:
    directive = ground.directive
    where = f"Consent/{directive.id}/_history/{directive.version}, {ground.provision.path}"
    return f"{where}: {_provision(ground.provision, words)}{words.stop}"


def _provision(provision: Provision, words: Words) -> str:
    parts = [f"{words.elements[name]} {text}" for name, text in _parts(provision, words).items() if text]
    kind = words.provision["permit" if provision.permit else "deny"]
    return kind + (words.comma.join(parts) if parts else words.whole)


def _parts(provision: Provision, words: Words) -> dict[str, str]:
    """Return the elements of a provision with their values in words; "" where nothing is stated."""
    terms: Terms = provision.terms
    own = words.codes["own"]

    def listed(values: Iterable[str]) -> str:
        return words.listing.join(values)

    return {
        "actor": listed(" ".join(filter(None, each)) for each in terms.actors),
        "action": listed(words.codes[each] for each in terms.actions),
        "purpose": listed(_named(each, words) for each in terms.purposes),
        "securityLabel": listed(_named(code, words) for _, code in terms.labels),
        "class": listed(code for _, code in terms.classes),
        "code": listed(f"{system}|{code}" for system, code in terms.codes),
        "dataPeriod": _period(*terms.period, words) if terms.period is not None else "",
        "data": listed(f"{words.codes[how]} {own if to == OWN else to}" for how, to in terms.data),
        "period": _period(provision.start, provision.end, words),
    }


def _named(code: str, words: Words) -> str:
    return f"{words.codes[code]} ({code})" if code in words.codes else code


def _period(start: int, end: int, words: Words) -> str:
    if (start, end) == (OPEN_START, OPEN_END):
        return ""
    first = instant(start) if start > OPEN_START else "…"
    last = instant(end) if end < OPEN_END else "…"
    return f"{first}{words.between}{last}"


@cache
def _words() -> dict[str, Words]:
    content = (files("conformance") / "policies" / "consent-words.json").read_bytes()
    return msgspec.json.decode(content, type=dict[str, Words])
