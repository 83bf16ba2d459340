"""Consent as the reason: what a patient does not allow might as well never have been recorded.

The routes of ``test_reading`` again, for callers who would see both patients by right. In one server the
second patient has denied them everything; its twin never held that patient. Then what only consent brings:
pages that were open, filings of others, rights that end, errors.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fhir_server.access import consented
from fhir_server.access.agreements import Agreement, contract
from fhir_server.consent.groups import Consents
from tests import engines
from tests.consent.filed import consent, deny_all
from tests.http.server import Tree, links, load, matches, refused
from tests.leak.house import (
    ROOT,
    SECRET,
    SECRET_CODE,
    SECRET_NOTE,
    Guarded,
    Route,
    guarded,
    not_there,
    person,
    token,
    told,
    value,
    visit,
    world,
)
from tests.leak.test_agreements import SIGNATURE
from tests.leak.test_reading import ROUTES, asked_together

pytestmark = pytest.mark.every_engine(one_in=3)

TREAT = {"purposes": ["TREAT"]}
DOCTOR = token("user/*.cruds", fhirUser="Practitioner/doctor", organization="Organization/here", **TREAT)
HOSPITAL = token("system/*.cruds", client_id="his", organization="Organization/here", **TREAT)
"""Of the hospital that keeps both patients' records: bound where a Consent names it."""
GUEST = token("system/*.cruds", client_id="guest", organization="Organization/guest", **TREAT)
"""A hospital to which an agreement opens the records of both."""
HOUSE = token("system/*.rs", client_id="portal", **TREAT)
"""A client of the house itself that states what for it asks."""
MANY = token("system/*.rs", client_id="many", **TREAT)
"""The same, of whom nothing was remembered before the consents became too many."""
CALLERS = {"practitioner": DOCTOR, "custodian": HOSPITAL, "guest": GUEST, "house": HOUSE}
SHARED = frozenset(
    (
        *("Patient", "Observation", "Encounter", "List", "Device", "Binary", "RelatedPerson", "Consent"),
        "Provenance",
    )
)
BESIDE = [
    *(
        Route("read", f"{type_}/hidden-{name}")
        for type_, names in {
            "Task": ("task", "focus"),
            "GuidanceResponse": ("guidance",),
            "Linkage": ("linkage",),
            "Bundle": ("bundle",),
            "Provenance": ("trace", "alone", "source", "traced", "made-of"),
        }.items()
        for name in names
    ),
    Route("history", "Provenance/hidden-traced/_history"),
    Route("vread", "Task/hidden-task/_history/1"),
    Route("type history", "Provenance/_history?_count=50", "mine-trace"),
    Route("search", "Task?_total=accurate&_count=50", "mine-task"),
    Route("search", "Task?subject=Patient/hidden&_total=accurate"),
    Route("search", "Task?focus=Patient/mine", "mine-focus"),
    Route("chain", f"Task?patient.family={SECRET}"),
    Route("reverse chain", "Organization?_has:Task:owner:subject=Patient/hidden"),
    Route("search", "GuidanceResponse?_total=accurate"),
    Route("search", "Linkage?_total=accurate"),
    Route("search", "Bundle?_total=accurate"),
    Route("search", "Provenance?_total=accurate&_count=50", "mine-trace"),
    Route("search", "Provenance?target=Observation/hidden-1"),
    Route("search", "Provenance?patient=Patient/mine&_summary=count", '"total":1'),
    Route("chain", f"Provenance?target:Observation.code={SECRET_CODE}"),
    Route("chain", "Provenance?target:Observation.code=1111-1", "mine-trace"),
    Route("reverse include", "Patient?_revinclude=Provenance:target&_id=mine", "mine-trace"),
    Route("reverse include", "Observation?_revinclude=Provenance:target&_count=50", "mine-trace"),
    Route("reverse chain", "Patient?_has:Provenance:target:agent=Practitioner/doctor", "Minear"),
    Route("everything", "Patient/mine/$everything", "mine-trace"),
]
"""Routes to what is about a patient, or tells of a record, without being in the compartment."""


def shared_world() -> list[Tree]:
    """Return the world of tests/leak with both patients at one hospital, and an agreement with another."""
    sharing = Agreement(
        id="sharing",
        receiver="Organization/guest",
        grantors=("Organization/here",),
        types=SHARED,
        purposes=frozenset({"TREAT"}),
        start=0,
        end=0,
        status="executed",
        is_signed=True,
    )
    moved = {
        "hidden": person("hidden", SECRET, "here"),
        "hidden-visit": visit("hidden-visit", "hidden", "here"),
    }
    trees = [moved.get(tree["id"], tree) for tree in world() if tree["id"] != "hidden-orphan"]
    return [
        *trees,
        {"resourceType": "Organization", "id": "guest", "name": "Guest"},
        contract(sharing, SIGNATURE),
        *beside("mine", "mine"),
        *beside("hidden", "hidden"),
        # Of the first patient, and yet it tells of the second's record.
        provenance("hidden-traced", "Patient/mine", "Observation/hidden-1"),
        provenance("hidden-made-of", "Patient/mine", source="Observation/hidden-1"),
    ]


def beside(id_: str, patient: str) -> list[Tree]:
    """Return what is about a patient though R4 puts it into no compartment."""
    who = {"reference": f"Patient/{patient}"}
    here = {"reference": "Organization/here"}
    note = SECRET_NOTE if patient == "hidden" else "plain"
    task = {"resourceType": "Task", "status": "requested", "intent": "order", "owner": here}
    return [
        {**task, "id": f"{id_}-task", "for": who, "description": note},
        {**task, "id": f"{id_}-focus", "focus": who, "description": note},
        {
            "resourceType": "GuidanceResponse",
            "id": f"{id_}-guidance",
            "moduleUri": "urn:module",
            "status": "success",
            "subject": who,
            "note": [{"text": note}],
        },
        {
            "resourceType": "Linkage",
            "id": f"{id_}-linkage",
            "item": [{"type": kind, "resource": who} for kind in ("source", "alternate")],
            "author": here,
        },
        {
            "resourceType": "Bundle",
            "id": f"{id_}-bundle",
            "type": "collection",
            "entry": [{"resource": value("inside", patient, "1111-1", "1.5")}],
        },
        provenance(f"{id_}-trace", f"Patient/{patient}", f"Observation/{patient}-1"),
        provenance(f"{id_}-alone", f"Observation/{patient}-1"),
        provenance(f"{id_}-source", "Organization/here", source=f"Patient/{patient}"),
    ]


def provenance(id_: str, *targets: str, source: str | None = None) -> Tree:
    """Return a Provenance of ``targets``, made of ``source``."""
    entity = [{"role": "source", "what": {"reference": source}}]
    return {
        "resourceType": "Provenance",
        "id": id_,
        "target": [{"reference": each} for each in targets],
        "recorded": "2026-03-01T00:00:00Z",
        "agent": [{"who": {"reference": "Practitioner/doctor"}}],
        **({"entity": entity} if source else {}),
    }


@pytest.fixture(scope="module")
def house(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Serve both patients, the second of whom has denied everybody everything."""
    with engines.using(engine), guarded(tmp_path_factory.mktemp("consented"), trees=shared_world()) as server:
        with server.as_(ROOT):
            for tree in deny_all("hidden", "Organization/here"):
                server.create(tree)
        yield server


@pytest.fixture(scope="module")
def twin(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Serve the first patient alone, where nobody has consented to anything."""
    with (
        engines.using(engine),
        guarded(tmp_path_factory.mktemp("unspoken"), trees=shared_world(), hidden=False) as server,
    ):
        yield server


@pytest.mark.one_engine  # five hundred rows: test_reading.py has them on every engine, by rights
@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.name}: {route.path}"[:70])
def test_what_is_denied_might_as_well_not_be_there(
    house: Guarded, twin: Guarded, route: Route, caller: str
) -> None:
    # The agreement does not reach all that the others reach by right.
    not_there(house, twin, route, CALLERS[caller], shows=caller != "guest")


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("route", BESIDE, ids=lambda route: f"{route.name}: {route.path}"[:70])
def test_nor_is_what_is_about_its_patient_or_tells_of_it(
    house: Guarded, twin: Guarded, route: Route, caller: str
) -> None:
    not_there(house, twin, route, CALLERS[caller], shows=caller != "guest")


@pytest.mark.parametrize("route", BESIDE, ids=lambda route: f"{route.name}: {route.path}"[:70])
def test_nor_where_the_consents_are_too_many_to_ask_for_each_record(
    house: Guarded, twin: Guarded, route: Route, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Provenance is hidden by whose records it tells of then; nobody else's is."""
    monkeypatch.setattr(consented, "MOST_TESTS", 0)
    not_there(house, twin, route, MANY)


def test_a_provenance_is_seen_with_all_that_it_tells_of_and_so_is_a_task(house: Guarded) -> None:
    """The positive twin, for who sees by right what is in no compartment."""
    with house.as_(HOUSE):
        assert set(house.find("Provenance?_count=50")) == {"mine-trace", "mine-alone", "mine-source"}
        assert set(house.find("Task?_count=50")) == {"mine-task", "mine-focus"}
        assert house.find("GuidanceResponse") == ["mine-guidance"]
        assert house.find("Linkage") == ["mine-linkage"]
        assert house.find("Bundle") == ["mine-bundle"]
    with house.as_(ROOT):
        assert len(house.find("Provenance?_count=50")) == 8
        assert len(house.find("Task?_count=50")) == 4


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_an_entry_of_a_bundle_is_told_no_more(house: Guarded, twin: Guarded, kind: str, caller: str) -> None:
    not_there(house, twin, asked_together(kind), CALLERS[caller])


@pytest.mark.parametrize(
    "query",
    [
        f"Observation?_lastUpdated=gt2000-01-01&code={SECRET_CODE}&_summary=count",
        "Observation?_lastUpdated=gt2000-01-01&_total=accurate&_count=1",
        "Observation?_sort=_lastUpdated&_elements=id",
        "Observation/_history?_since=2000-01-01T00:00:00Z&_count=100",
        "_history?_since=2000-01-01T00:00:00Z&_count=100",
        f"Encounter?_has:Observation:encounter:code={SECRET_CODE}",
        f"Patient?_has:Observation:patient:code:not=1111-1&family={SECRET}",
        f"Organization?_has:Patient:organization:family={SECRET}",
        f"Device?patient.family={SECRET}",
        "Consent?_total=accurate",
        "Consent?patient=hidden",
        "Organization?_revinclude=Patient:organization",
        "Patient?_revinclude=Consent:patient",
        "Patient/$everything?_count=100",
        "Patient?_sort=family&_total=accurate",
    ],
)
@pytest.mark.parametrize("caller", CALLERS)
def test_no_oracle_tells_of_what_is_denied(house: Guarded, twin: Guarded, query: str, caller: str) -> None:
    """Counts, instants, chains from what is nobody's, the Consents themselves."""
    with house.as_(CALLERS[caller]), twin.as_(CALLERS[caller]):
        answer, without = house.get(query), twin.get(query)

    assert told(answer) == told(without)


def test_both_are_there_for_who_keeps_the_records_and_for_the_patient(house: Guarded) -> None:
    """The positive twin: what is hidden is there, and the patient sees it."""
    hidden = token(
        "patient/*.rs", patient="hidden", fhirUser="Patient/hidden", organization="Organization/here"
    )
    with house.as_(ROOT):
        assert SECRET in house.get("Patient/hidden").text
    with house.as_(hidden):  # with an app of the very hospital that is denied
        assert "hidden-1" in house.find("Observation")
        assert len(house.find("Consent")) == 2


def test_a_conditional_create_against_a_hidden_record_creates_as_if_there_were_none(
    house: Guarded, twin: Guarded
) -> None:
    sent = value("new", "mine", SECRET_CODE, "1.5")
    del sent["id"]
    for caller in (HOSPITAL, DOCTOR):
        criteria = f"code=http://loinc.org|{SECRET_CODE}&status=final"
        with house.as_(caller), twin.as_(caller):
            answers = [each.post("Observation", sent, if_none_exist=criteria) for each in (house, twin)]
            assert [each.status_code for each in answers] == [201, 201]
            for each, answer in zip((house, twin), answers, strict=True):
                # Not to be found by the next caller, nor by the routes above.
                assert (
                    each.delete(answer.headers["location"].split("/fhir/")[1].split("/_h")[0]).status_code
                    == 204
                )


@pytest.fixture
def own(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Serve the same to one test that changes what patients say."""
    with engines.using(engine), guarded(tmp_path_factory.mktemp("own"), trees=shared_world()) as server:
        yield server


def file(server: Guarded, *trees: Tree) -> list[Tree]:
    with server.as_(ROOT):
        return [server.create(tree) for tree in trees]


def test_an_open_page_shows_nothing_more_once_consent_is_withdrawn(own: Guarded) -> None:
    (permit,) = file(own, consent(purpose=["TREAT"], patient="hidden"))
    with own.as_(GUEST):
        first = load(own.get("Observation?patient=hidden&_count=1&_total=accurate"))
        assert first["total"] == 3
        link = links(first)["next"]
        assert matches(load(own.get(link)))
    with own.as_(ROOT):
        assert own.put(f"Consent/{permit['id']}", {**permit, "status": "inactive"}).status_code == 200
    file(own, *deny_all("hidden", "Organization/guest"))
    with own.as_(GUEST):
        after = own.get(link)
        assert after.status_code == 200
        assert "entry" not in load(after)
        assert load(after)["total"] == 0


def test_an_open_page_goes_on_while_others_file(own: Guarded) -> None:
    with own.as_(GUEST):
        expected = sorted(own.find("Observation?patient=mine&_count=50"))
        bundle = load(own.get("Observation?patient=mine&_count=1&_total=accurate"))
    seen = matches(bundle)
    while "next" in links(bundle):
        file(own, consent(purpose=["HRESCH"], patient="hidden", uri=f"urn:policy:{len(seen)}"))
        with own.as_(GUEST):
            bundle = load(own.get(links(bundle)["next"]))
        seen += matches(bundle)
        assert bundle["total"] == len(expected)
    assert sorted(seen) == expected


def test_a_proxys_right_that_a_consent_ends_is_over_with_the_next_request(own: Guarded) -> None:
    mother = token("user/*.cruds", fhirUser="RelatedPerson/mother")
    with own.as_(mother):
        assert own.find("Observation")
    file(own, *deny_all("mine", "RelatedPerson/mother"))
    with own.as_(mother):
        assert own.find("Observation") == []
        assert own.get("Patient/mine").status_code == 404
        body = consent(purpose=["TREAT"], patient="mine")
        assert own.post("Consent", body).status_code == 403  # nor does the proxy consent in its own favour
    narrowed = token("patient/*.cruds", patient="mine", fhirUser="RelatedPerson/mother")
    with own.as_(narrowed):
        assert own.find("Observation") == []
        assert own.post("Consent", body).status_code == 403


def test_nobody_permitted_is_nothing_and_not_everything(tmp_path_factory: pytest.TempPathFactory) -> None:
    """An overarching policy that denies, and no Consent at all: no patient is permitted."""
    folder = tmp_path_factory.mktemp("denying")
    with guarded(folder, trees=shared_world(), consent_policy="deny") as server, server.as_(GUEST):
        for type_ in ("Patient", "Observation", "Encounter", "Consent"):
            assert load(server.get(f"{type_}?_total=accurate"))["total"] == 0
        assert server.get("Patient/mine").status_code == 404
        assert server.find("Organization")  # about no patient


@pytest.mark.parametrize(
    "path", ["Patient/mine", "Observation?_count=1", "Patient/mine/$everything", "_history"]
)
@pytest.mark.parametrize("error", [RuntimeError("Zanzibarov"), KeyError("Zanzibarov")])
def test_an_error_in_the_engine_denies_and_tells_nothing(
    house: Guarded, path: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(Consents, "condition", broken)
    with house.as_(token("system/*.rs", client_id="new", organization="Organization/here", **TREAT)):
        answer = house.get(path)

    refused(answer, 503, "transient")
    assert "Zanzibarov" not in answer.text


def test_rules_that_cannot_be_read_deny(house: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    service = house._app._service
    assert service is not None

    async def broken(_after: int = 0) -> Any:
        raise RuntimeError("Zanzibarov")

    monkeypatch.setattr(service.store.policies, "rules", broken)
    file(house, consent(purpose=["HMARKT"], patient="mine", uri="urn:policy:new"))
    with house.as_(HOSPITAL):
        refused(house.get("Patient/mine"), 503, "transient")
