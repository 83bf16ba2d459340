"""Random Consents, askings, records and instants, and the little world that they are about.

https://hl7.org/fhir/R4/consent.html
"""

from __future__ import annotations

from typing import Any, Final
from zoneinfo import ZoneInfo

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from fhir_server.consent.asking import Asking
from fhir_server.consent.policy import ACT_CODE, CONFIDENTIALITY, DATA_LEVEL
from fhir_server.consent.provisions import ACTION_SYSTEM, LOINC, MEDIA_TYPE_SYSTEM, RESOURCE_TYPE_SYSTEM
from fhir_server.search.extract import Extractor
from fhir_server.search.values import Values

Tree = dict[str, Any]

ZONE: Final = ZoneInfo("Asia/Shanghai")
EXTRACTOR: Final = Extractor(ZONE)
REASON: Final = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
PARTICIPATION: Final = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
OWN_TAG: Final = {"system": "urn:test", "code": "own"}

RECIPIENTS: Final = (
    "Organization/a",
    "Organization/b",
    "Practitioner/1",
    "PractitionerRole/1",
    "RelatedPerson/1",
    "Device/1",
)
DATES: Final = ("2021", "2022-03", "2022-12-31", "2023-01-01T08:00:00+08:00", "2024-02-29")
LABELS: Final = tuple(
    {"system": system, "code": code}
    for system, codes in {
        CONFIDENTIALITY: "LNRV",
        ACT_CODE: ("PSY", "BH", "HIV", "ETH", "OPIOIDUD", "PSYTHPN"),
        DATA_LEVEL: "135",
    }.items()
    for code in codes
)
CODES: Final = tuple({"system": "http://snomed.info/sct", "code": each} for each in ("1", "2", "3"))
DOCUMENTS: Final = tuple({"system": LOINC, "code": each} for each in ("11488-4", "34133-9"))


def coding(system: str, code: str) -> dict[str, str]:
    return {"system": system, "code": code}


def concept(*codings: dict[str, str]) -> dict[str, Any]:
    return {"coding": list(codings)}


def refers(target: str) -> dict[str, str]:
    return {"reference": target}


def some(*values: Any, most: int = 2) -> SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=most, unique_by=repr)


def _period() -> SearchStrategy[dict[str, str]]:
    both = st.tuples(st.sampled_from(DATES), st.sampled_from(DATES)).map(sorted)
    return st.one_of(
        both.map(lambda each: {"start": each[0], "end": each[1]}),
        st.sampled_from(DATES).map(lambda each: {"start": each}),
        st.sampled_from(DATES).map(lambda each: {"end": each}),
    )


_ROLES = st.one_of(
    st.builds(
        lambda each: {"role": concept(coding(PARTICIPATION, "IRCP")), "reference": refers(each)},
        st.sampled_from(RECIPIENTS),
    ),
    st.builds(
        lambda each: {"role": concept(coding("urn:fhir-server:role", each)), "reference": {"type": "Group"}},
        st.sampled_from(("doctor", "researcher")),
    ),
    st.just(
        {"role": concept(coding("urn:fhir-server:role", "doctor")), "reference": refers("Organization/b")}
    ),
)
_DATA = st.one_of(
    st.builds(
        lambda meaning, to: {"meaning": meaning, "reference": refers(to)},
        st.sampled_from(("instance", "related", "dependents")),
        st.sampled_from(
            ("Encounter/e1", "Encounter/e1", "Observation/o1", "Condition/c1", "CarePlan/k1", "Patient/p")
        ),
    ),
    st.builds(
        lambda to: {"meaning": "authoredby", "reference": refers(to)},
        st.sampled_from(("Practitioner/1", "Organization/a", "Patient/p")),
    ),
)
_CLASSES = some(
    *(coding(RESOURCE_TYPE_SYSTEM, each) for each in ("Observation", "Condition", "DocumentReference")),
    DOCUMENTS[0],
    coding(MEDIA_TYPE_SYSTEM, "application/pdf"),
)
_PURPOSES = some(*(coding(REASON, each) for each in ("TREAT", "ETREAT", "BTG", "HRESCH", "HPAYMT", "FAMRQT")))
_ACTIONS = some(
    *(concept(coding(ACTION_SYSTEM, each)) for each in ("access", "use", "disclose", "correct", "collect"))
)

_ELEMENTS: dict[str, SearchStrategy[Any]] = {
    "actor": st.lists(_ROLES, min_size=1, max_size=2),
    "action": _ACTIONS,
    "securityLabel": some(*LABELS),
    "purpose": _PURPOSES,
    "class": _CLASSES,
    "code": some(*CODES).map(lambda codes: [concept(each) for each in codes]),
    "dataPeriod": _period(),
    "period": _period(),
    "data": st.lists(_DATA, min_size=1, max_size=2),
}


@st.composite
def provisions(draw: st.DrawFn, levels: int = 3) -> Tree:
    """Draw a provision with some elements, and with nested ones of either kind."""
    # The elements that choose among records twice as often as those that choose among askers.
    weighed = [*_ELEMENTS, "data", "securityLabel", "dataPeriod", "code"]
    names = draw(st.lists(st.sampled_from(weighed), max_size=2).map(dict.fromkeys))
    found: Tree = {"type": draw(st.sampled_from(("permit", "deny")))}
    found.update({name: draw(_ELEMENTS[name]) for name in names})
    if levels > 1:
        nested = draw(st.lists(provisions(levels=levels - 1), max_size=2))
        if nested:
            found["provision"] = nested
    return found


@st.composite
def consents(draw: st.DrawFn, id_: str = "1", patient: str = "Patient/p") -> Tree:
    """Draw a Consent that can be enforced."""
    return consent(
        draw(provisions()),
        id=id_,
        patient=refers(patient),
        status=draw(st.sampled_from(("active", "active", "active", "inactive", "draft"))),
        dateTime=draw(st.sampled_from(DATES)),
        policy=[{"uri": draw(st.sampled_from(("urn:policy:1", "urn:policy:2", "urn:policy:3")))}],
    )


def consent(provision: Tree, **elements: Any) -> Tree:
    """Return a Consent of Patient/p with this root; what is given replaces what is usual."""
    return {
        "resourceType": "Consent",
        "id": "1",
        "meta": {"versionId": "1", "lastUpdated": "2025-01-01T00:00:00Z"},
        "status": "active",
        "scope": concept(coding("http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy")),
        "category": [concept(coding(LOINC, "59284-0"))],
        "patient": refers("Patient/p"),
        "dateTime": "2024-06-01",
        "policy": [{"uri": "urn:policy:1"}],
        "provision": provision,
        **elements,
    }


@st.composite
def askings(draw: st.DrawFn) -> Asking:
    """Draw somebody who asks."""
    return Asking(
        organization=draw(st.sampled_from((None, "Organization/a", "Organization/b"))),
        user=draw(st.sampled_from((None, "Practitioner/1", "PractitionerRole/1", "RelatedPerson/1"))),
        roles=frozenset(draw(st.sampled_from(([], ["doctor"], ["researcher"])))),
        device=draw(st.sampled_from((None, "Device/1"))),
        others=frozenset(draw(st.sampled_from(([], ["Practitioner/1"])))),
        purpose=draw(
            st.sampled_from((None, "TREAT", "ETREAT", "BTG", "HRESCH", "CLINTRCH", "HPAYMT", "FAMRQT", "ODD"))
        ),
        action=draw(st.sampled_from(("access", "access", "correct", "disclose", "collect"))),
        lifts=draw(st.booleans()),
    )


INSTANTS: Final = st.one_of(
    st.integers(1_600_000_000_000, 1_800_000_000_000),
    st.sampled_from((1_640_966_400_000, 1_672_502_400_000, 1_672_502_399_999, 1_709_136_000_000)),
)
"""Milliseconds since the epoch: anywhere, and on the edges of :data:`DATES`."""


def _observation(id_: str) -> SearchStrategy[Tree]:
    return st.fixed_dictionaries(
        {"resourceType": st.just("Observation"), "id": st.just(id_), "subject": st.just(refers("Patient/p"))},
        optional={
            "meta": _meta(),
            "code": st.sampled_from(CODES).map(concept),
            "effectiveDateTime": st.sampled_from(DATES),
            "encounter": st.sampled_from(("Encounter/e1", "Encounter/e2")).map(refers),
            "performer": some("Practitioner/1", "Organization/a", "Patient/p").map(_references),
            "component": st.sampled_from(CODES).map(lambda each: [{"code": concept(each)}]),
        },
    )


def _references(targets: list[str]) -> list[dict[str, str]]:
    return [refers(each) for each in targets]


def _meta() -> SearchStrategy[Tree]:
    odd = coding(CONFIDENTIALITY, "odd")
    labels = some(*LABELS, odd, coding("urn:other", "R"), most=3) | st.just([odd])
    return st.fixed_dictionaries({}, optional={"security": labels, "tag": st.just([OWN_TAG])})


def _record(type_: str, id_: str, subject: str, **optional: SearchStrategy[Any]) -> SearchStrategy[Tree]:
    return st.fixed_dictionaries(
        {"resourceType": st.just(type_), "id": st.just(id_), subject: st.just(refers("Patient/p"))},
        optional={"meta": _meta(), **optional},
    )


_ENCOUNTERS = st.sampled_from(("Encounter/e1", "Encounter/e2")).map(refers)
WORLD: Final = st.tuples(
    _observation("o1"),
    _observation("o2"),
    _record(
        "Condition",
        "c1",
        "subject",
        recordedDate=st.sampled_from(DATES),
        code=st.sampled_from(CODES).map(concept),
        encounter=_ENCOUNTERS,
        asserter=st.just(refers("Practitioner/1")),
    ),
    _record(
        "MedicationRequest",
        "m1",
        "subject",
        authoredOn=st.sampled_from(DATES),
        medicationReference=st.just(refers("Medication/x")),
        reasonReference=st.just([refers("Condition/c1")]),
    ),
    _record(
        "DocumentReference",
        "d1",
        "subject",
        date=st.just("2022-06-01T00:00:00Z"),
        type=st.sampled_from(DOCUMENTS).map(concept),
        content=st.just([{"attachment": {"contentType": "application/pdf"}}]),
        custodian=st.just(refers("Organization/a")),
    ),
    _record(
        "Encounter",
        "e1",
        "subject",
        serviceProvider=st.just(refers("Organization/a")),
        diagnosis=st.just([{"condition": refers("Condition/c1")}]),
    ),
    _record(
        "CarePlan",
        "k1",
        "subject",
        addresses=st.just([refers("Condition/c1")]),
        period=st.just({"start": "2022-01-01"}),
    ),
    _record("Coverage", "v1", "beneficiary"),
    st.fixed_dictionaries(
        {"resourceType": st.just("Patient"), "id": st.just("p")},
        optional={"meta": _meta(), "managingOrganization": st.just(refers("Organization/a"))},
    ),
    st.just(
        {
            "resourceType": "Encounter",
            "id": "e2",
            "subject": refers("Patient/p"),
            "serviceProvider": refers("Organization/b"),
        }
    ),
    st.just({"resourceType": "Medication", "id": "x", "code": concept(CODES[0])}),
)
"""One patient's few records, which refer to each other."""


class Shelf:
    """Records in memory, as ``search.match`` and ``consent.plain`` ask for them."""

    def __init__(self, trees: tuple[Tree, ...]) -> None:
        self.records: dict[tuple[str, str], Values] = {
            (tree["resourceType"], tree["id"]): EXTRACTOR.extract(tree) for tree in trees
        }

    def resolve(self, type_: str, id_: str) -> Values | None:
        return self.records.get((type_, id_))

    def referrers(self, type_: str, param: str, target: str) -> list[tuple[str, Values]]:
        return [
            (id_, values)
            for (named, id_), values in self.records.items()
            if named == type_ and (param, target) in values.references
        ]
