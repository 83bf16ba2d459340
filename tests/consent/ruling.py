"""Consents in few words, and what they come to: by the compiled form and by the plain one, which must agree.

https://hl7.org/fhir/R4/consent.html
"""

from __future__ import annotations

from typing import Any

from fhir_server.consent.asking import Asking
from fhir_server.consent.combine import slices, spoken
from fhir_server.consent.groups import Consents
from fhir_server.consent.plain import Verdict, decide
from fhir_server.consent.plain_records import Record
from fhir_server.consent.policy import CONFIDENTIALITY, Overarching
from fhir_server.consent.source import directive
from fhir_server.search.match import matches
from fhir_server.search.predicate import EVERYTHING, NOTHING
from tests.consent.wishes import PARTICIPATION, REASON, ZONE, Shelf, Tree, coding, concept, consent, refers

NOW = 1_735_689_600_000
"""2025-01-01, in ms since the epoch."""
B = Asking(organization="Organization/b", purpose="TREAT")
C = Asking(organization="Organization/c", purpose="TREAT")
A = Asking(organization="Organization/a", purpose="TREAT")
SNOMED = "http://snomed.info/sct"


def labelled(*codes: str, system: str = CONFIDENTIALITY, **elements: Any) -> Tree:
    return note(meta={"security": [coding(system, each) for each in codes]}, **elements)


def note(type_: str = "Observation", **elements: Any) -> Tree:
    subject = {"beneficiary" if type_ == "Coverage" else "subject": refers("Patient/p")}
    return {"resourceType": type_, "id": "1", **subject, **elements}


def actor(*references: str) -> list[Tree]:
    role = concept(coding(PARTICIPATION, "IRCP"))
    return [{"role": role, "reference": refers(each)} for each in references]


def label(*codes: str, system: str = CONFIDENTIALITY) -> list[Tree]:
    return [coding(system, each) for each in codes]


def purpose(*codes: str) -> list[Tree]:
    return [coding(REASON, each) for each in codes]


def permit(*nested: Tree, **elements: Any) -> Tree:
    return {"type": "permit", **elements, **({"provision": list(nested)} if nested else {})}


def deny(*nested: Tree, **elements: Any) -> Tree:
    return {**permit(*nested, **elements), "type": "deny"}


def ruling(
    root: Tree | list[Tree],
    record: Tree,
    asking: Asking = B,
    *,
    others: tuple[Tree, ...] = (),
    instant: int = NOW,
    overarching: Overarching = "treatment",
    own: bool = False,
) -> Verdict:
    """Return what Consents with these roots come to, once both forms have said the same of it."""
    roots = root if isinstance(root, list) else [root]
    filed = [consent(each, id=str(at), policy=[{"uri": f"urn:policy:{at}"}]) for at, each in enumerate(roots)]
    directives = [each for tree in filed if (each := directive(tree, ZONE)) is not None]
    shelf = Shelf((record, *others))
    type_, id_ = record["resourceType"], record["id"]
    values = shelf.records[type_, id_]
    subject = Record(type_, id_, values, shelf.resolve)
    verdict = decide(directives, asking, subject, instant, overarching=overarching, own=own)

    consents = Consents(overarching)
    kept = spoken(slices(directives))
    consents.learn((number, each.rule) for number, each in enumerate(kept, 1))
    number = next((at for at, each in enumerate(kept, 1) if each.start <= instant < each.end), 0)
    condition = consents.condition(asking, type_, EVERYTHING if own else NOTHING)
    seen = matches(condition, type_, id_, values, shelf.resolve, shelf.referrers, lambda _: number)
    assert seen == verdict.permit
    return verdict


def sees(root: Tree | list[Tree], record: Tree, asking: Asking = B, **options: Any) -> bool:
    return ruling(root, record, asking, **options).permit


def data(meaning: str, reference: str) -> list[Tree]:
    return [{"meaning": meaning, "reference": refers(reference)}]
