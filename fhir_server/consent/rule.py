"""What a patient's Consents come to at one time: a Rule, free of the patient and of time, with one spelling.

Patients whose Rules have the same bytes share a policy class.
conformance/decisions/0013-consent-is-compiled-by-policy-class.md
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from fhir_server.consent.policy import Code

VERSION: Final = 1
"""Of the bytes; those of another version are read as a refusal of everything."""


class Terms(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a provision is about: all of the elements that are stated (AND), any value of each (OR).

    https://hl7.org/fhir/R4/consent-definitions.html#Consent.provision

    ``actors``: (reference, role), "" for whoever or whatever role. ``classes``: (kind, code), kind "type",
    "document" (LOINC) or "content" (media type). ``period``: ms since the epoch, both included.
    ``data``: (meaning, ``Type/id``); ``Patient/`` alone stands for the patient. Make it with :func:`terms`.
    """

    actors: tuple[tuple[str, str], ...] = ()
    actions: tuple[str, ...] = ()
    labels: tuple[Code, ...] = ()
    purposes: tuple[str, ...] = ()
    classes: tuple[tuple[str, str], ...] = ()
    codes: tuple[Code, ...] = ()
    period: tuple[int, int] | None = None
    data: tuple[tuple[str, str], ...] = ()


NO_TERMS: Final = Terms()
"""About everything."""


class Clause(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is permitted or denied, but for its exceptions, each of the other kind."""

    permit: bool
    terms: Terms = NO_TERMS
    exceptions: tuple[Clause, ...] = ()


class Rule(msgspec.Struct, frozen=True):
    """Clauses of which each speaks for itself; a denial of one outweighs a permission of another.

    ``lifted``: who has broken the glass for the patient (:attr:`Asking.breaker`).
    """

    clauses: tuple[Clause, ...]
    lifted: tuple[str, ...] = ()
    version: int = VERSION


SILENCE: Final = Rule(())
"""The Rule of who has said nothing: the overarching policy decides."""
REFUSAL: Final = Rule((Clause(permit=False),))
"""The Rule of what cannot be understood."""

_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder(Rule).decode


def clause(terms: Terms, exceptions: Iterable[Clause], *, permit: bool) -> Clause:
    """Return a clause whose exceptions stand in their one order, each once."""
    return Clause(permit, terms, _ordered(exceptions))


def rule(clauses: Iterable[Clause], lifted: Iterable[str] = ()) -> Rule:
    """Return the Rule of ``clauses``, in their one order, each once; the same for ``lifted``."""
    return Rule(_ordered(clauses), tuple(sorted(set(lifted))))


def _ordered(clauses: Iterable[Clause]) -> tuple[Clause, ...]:
    return tuple(sorted(set(clauses), key=_encode))


def to_bytes(rule: Rule) -> bytes:
    """Write a Rule; equal Rules give equal bytes."""
    return _encode(rule)


def from_bytes(body: bytes) -> Rule:
    """Read a Rule; what cannot be read refuses everything, so that no damage opens a record."""
    try:
        found = _decode(body)
    except msgspec.DecodeError:
        return REFUSAL
    return found if found.version == VERSION else REFUSAL
