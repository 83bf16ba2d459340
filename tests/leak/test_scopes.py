"""Scopes through HTTP: each right by itself, and what narrows a scope narrows every route."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.access.actor import Actor
from fhir_server.access.decide import Facts, decide
from fhir_server.access.scopes import understand
from fhir_server.search.extract import Extractor
from fhir_server.search.match import Catalog
from fhir_server.search.predicate import EVERYTHING
from tests.http.server import BASE, Tree, load, matches, refused
from tests.leak.house import Guarded, token, value, world

pytestmark = pytest.mark.every_engine

REQUESTS = {
    "c": [("POST", "Observation")],
    "r": [
        ("GET", "Observation/mine-1"),
        ("GET", "Observation/mine-1/_history/1"),
        ("GET", "Observation/mine-1/_history"),
        ("GET", "Observation/mine-1/$meta"),
    ],
    "u": [
        ("PUT", "Observation/mine-1"),
        ("PATCH", "Observation/mine-1"),
        ("POST", "Observation/mine-1/$meta-add"),
    ],
    "d": [("DELETE", "Observation/none")],
    "s": [
        ("GET", "Observation"),
        ("POST", "Observation/_search"),
        ("GET", "Observation/_history"),
        ("GET", "_history"),
        ("GET", "?_type=Observation"),
        ("GET", "Patient/mine/Observation"),
        ("GET", "Observation/$meta"),
        ("GET", "Observation/$lastn?patient=mine&code=1111-1"),
    ],
}
ADMIN = [("POST", "$reindex"), ("GET", "$reindex-status?_job=1")]


def body_of(method: str, path: str) -> Any:
    if method == "PATCH":
        return [{"op": "test", "path": "/id", "value": "mine-1"}]
    if path.endswith("$meta-add"):
        return {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"profile": []}}]}
    return value("mine-1", "mine", "1111-1", "10.5") if method in {"POST", "PUT"} else None


@pytest.mark.parametrize("letter", "cruds")
def test_each_letter_allows_its_interactions_and_no_others(house: Guarded, letter: str) -> None:
    with house.as_(token(f"patient/Observation.{letter}", patient="mine")):
        for needed, requests in REQUESTS.items():
            for method, path in requests:
                form = {"content_type": "application/x-www-form-urlencoded"} if "_search" in path else {}
                response = house(method, path, "" if form else body_of(method, path), **form)
                if needed == letter:
                    assert response.status_code != 403, (method, path, response.text)
                else:
                    issue = refused(response, 403, "forbidden")
                    assert "scope" in issue["diagnostics"]
                    assert 'error="insufficient_scope"' in response.headers["www-authenticate"]


def test_a_refusal_for_want_of_scope_is_the_same_whatever_is_stored(house: Guarded) -> None:
    with house.as_(token("patient/Patient.rs", patient="mine")):
        answers = {house.get(f"Observation/{id_}").text for id_ in ("mine-1", "hidden-1", "absent")}

    assert len(answers) == 1


@pytest.mark.parametrize(("method", "path"), ADMIN)
def test_the_servers_own_work_is_for_administrators(house: Guarded, method: str, path: str) -> None:
    for scope, claims in (
        ("system/*.cruds", {"organization": "Organization/here"}),
        ("user/*.cruds", {"fhirUser": "Practitioner/doctor", "organization": "Organization/here"}),
        ("patient/*.cruds", {"patient": "mine"}),
    ):
        with house.as_(token(scope, **claims)):
            refused(house(method, path), 403, "forbidden")
    with house.as_(token("openid", roles=["system-administrator"])):
        assert house(method, path).status_code != 403


def test_no_scope_no_right(house: Guarded) -> None:
    for scope in ("", "openid fhirUser launch", "patient/Nonsense.rs", "patient/observation.rs", "*/*.*"):
        with house.as_(token(scope, patient="mine")):
            refused(house.get("Observation"), 403, "forbidden")
            refused(house.get(""), 403, "forbidden")
            refused(house.get("_history"), 403, "forbidden")


def test_a_context_that_is_missing_reaches_nobody(house: Guarded) -> None:
    """A patient scope without a patient, a user scope without a user: nothing, never everything."""
    for scope, claims in (
        ("patient/*.cruds", {}),
        ("user/*.cruds", {}),
        ("user/*.cruds", {"fhirUser": "Person/1"}),
        ("user/*.cruds", {"fhirUser": "RelatedPerson/absent"}),
        ("user/*.cruds", {"roles": ["system-administrator", "audit-administrator"]}),
    ):
        with house.as_(token(scope, **claims)):
            assert house.find("Observation") == house.find("Patient") == []
            assert "Patient/mine" not in house.get("_history?_count=100").text
            refused(house.post("Observation", value("x", "mine", "1111-1", "1.5")), 403, "forbidden")


def test_a_users_rights_limit_the_launch_context(house: Guarded) -> None:
    """An app that was launched for a patient whom its user may not see sees nothing of that patient."""
    doctor = {"fhirUser": "Practitioner/doctor", "organization": "Organization/here"}
    cases = [({**doctor, "patient": "mine"}, True), ({**doctor, "patient": "hidden"}, False)]
    cases += [({"fhirUser": "Patient/mine", "patient": who}, who == "mine") for who in ("mine", "hidden")]
    cases += [({"fhirUser": "RelatedPerson/mother", "patient": w}, w == "mine") for w in ("mine", "hidden")]
    for claims, seen in cases:
        with house.as_(token("patient/*.cruds", **claims)):
            assert bool(house.find("Observation")) is seen, claims
            assert house.get(f"Patient/{claims['patient']}").status_code == (200 if seen else 404)


def test_a_proxy_has_its_right_only_within_its_period(house: Guarded) -> None:
    for number, (more, seen) in enumerate(
        (
            ({"period": {"start": "2020-01-01", "end": "2999-01-01"}}, True),
            ({}, True),
            ({"period": {"end": "2020-01-01"}}, False),
            ({"period": {"start": "2999-01-01"}}, False),
            ({"active": False}, False),
        )
    ):
        related: Tree = {
            "resourceType": "RelatedPerson",
            "id": f"proxy-{number}",
            "patient": {"reference": "Patient/mine"},
            **more,
        }
        with house.as_(token("system/*.cruds")):
            assert house.put(f"RelatedPerson/proxy-{number}", related).status_code in {200, 201}
        with house.as_(token("user/*.rs", fhirUser=f"RelatedPerson/proxy-{number}")):
            assert (house.get("Patient/mine").status_code == 200) is seen


def test_a_proxy_loses_its_right_with_the_next_request(house: Guarded) -> None:
    related = {"resourceType": "RelatedPerson", "id": "ending", "patient": {"reference": "Patient/mine"}}
    bearer = token("user/*.rs", fhirUser="RelatedPerson/ending")
    root = token("system/*.cruds")
    with house.as_(root):
        house.put("RelatedPerson/ending", related)
    with house.as_(bearer):
        page = load(house.get("Observation?_count=1"))
        link = next(each["url"] for each in page["link"] if each["relation"] == "next")
        assert house.get(link).status_code == 200
    with house.as_(root):
        house.put("RelatedPerson/ending", {**related, "active": False})
    with house.as_(bearer):
        assert house.get("Patient/mine").status_code == 404
        assert house.get(link).status_code == 404


@pytest.mark.parametrize(
    "path", ["Observation?subject:Patient.name=Minear", "Observation?subject.name=Minear"]
)
def test_a_chain_through_a_type_without_right_is_refused(house: Guarded, path: str) -> None:
    with house.as_(token("patient/Observation.rs", patient="mine")):
        issue = refused(house.get(path), 403, "forbidden")
        assert "Minear" not in issue["diagnostics"]
        refused(
            house.get("Observation?_has:Observation:derived-from:code=x&patient.name=x"), 403, "forbidden"
        )
    with house.as_(token("patient/Observation.rs patient/Patient.rs", patient="mine")):
        assert "mine-1" in house.find(path)
    with house.as_(token("patient/Patient.rs", patient="mine")):
        refused(house.get("Patient?_has:Observation:subject:code=1111-1"), 403, "forbidden")


def test_an_include_of_a_type_without_right_adds_nothing(house: Guarded) -> None:
    with house.as_(token("patient/Observation.rs patient/Patient.r", patient="mine")):
        bundle = load(house.get("Observation?_include=Observation:subject&_include=*"))
        assert matches(bundle, "include") == []
    with house.as_(token("patient/Observation.rs patient/Patient.s", patient="mine")):
        bundle = load(house.get("Observation?_include=Observation:subject"))
        assert matches(bundle, "include") == ["mine"]


def test_a_binary_follows_the_rules_of_its_context(house: Guarded) -> None:
    """It needs its own scope and that of what it belongs to, narrowed as that is."""
    for scope, seen in (
        ("patient/Binary.rs patient/Encounter.rs", True),
        ("patient/Binary.rs", False),
        ("patient/Binary.rs patient/Encounter.rs?status=planned", False),
        ("patient/Binary.rs?_id=other patient/Encounter.rs", False),
    ):
        with house.as_(token(scope, patient="mine")):
            assert (house.get("Binary/mine-scan").status_code == 200) is seen, scope
            assert house.find("Binary") == (["mine-scan"] if seen else [])
            assert house.get("Binary/hidden-scan").status_code == 404
    scan = {"resourceType": "Binary", "contentType": "text/plain", "data": "cGxhaW4="}
    with house.as_(token("patient/*.cruds", patient="mine")):
        refused(house.post("Binary", scan), 403, "forbidden")
        hidden = {**scan, "securityContext": {"reference": "Patient/hidden"}}
        refused(house.post("Binary", hidden), 403, "forbidden")
        own = {**scan, "securityContext": {"reference": "Patient/mine"}}
        assert house.post("Binary", own).status_code == 201


def test_a_granular_scope_narrows_every_route(house: Guarded) -> None:
    """It lets one code through: reads, histories, searches, includes and writes of others are hidden."""
    narrow = "patient/Observation.cruds?code=http://loinc.org|4444-4 patient/Patient.rs"
    with house.as_(token("system/*.cruds")):
        house.put("Observation/narrow", value("narrow", "mine", "4444-4", "1.5"))
        house.put("Observation/narrow-hidden", value("narrow-hidden", "hidden", "4444-4", "1.5"))
    with house.as_(token(narrow, patient="mine")):
        assert house.find("Observation") == ["narrow"]
        assert house.get("Observation/narrow").status_code == 200
        for hidden in ("mine-1", "narrow-hidden"):
            assert house.get(f"Observation/{hidden}").status_code == 404
            assert house.get(f"Observation/{hidden}/_history").status_code == 404
        included = load(house.get("Patient?_revinclude=Observation:subject"))
        assert matches(included, "include") == ["narrow"]
        assert "mine-1" not in house.get("Patient/mine/$everything").text
        assert house.find("Patient?_has:Observation:subject:code=1111-1") == []
        refused(house.post("Observation", value("x", "mine", "1111-1", "1.5")), 403, "forbidden")
        patch = [{"op": "replace", "path": "/code/coding/0/code", "value": "1111-1"}]
        refused(house.patch("Observation/narrow", patch), 403, "forbidden")
        assert house.post("Observation", value("x", "mine", "4444-4", "1.5")).status_code == 201


CONTEXTS: list[tuple[str, dict[str, str]]] = [
    ("patient", {"patient": "mine"}),
    ("patient", {"patient": "hidden"}),
    ("user", {"fhirUser": "Patient/mine"}),
    ("user", {"fhirUser": "Practitioner/doctor", "organization": "Organization/here"}),
    ("system", {"organization": "Organization/there"}),
    ("system", {}),
]
NARROWINGS = {
    "Observation": [
        "",
        "?code=1111-1",
        "?status=final",
        "?subject=Patient/mine",
        "?date=ge2026",
        "?_id=mine-1",
    ],
    "Patient": ["", "?gender=female", "?name=Min", "?organization=Organization/here"],
    "Device": ["", "?patient=Patient/mine"],
    "*": ["", "?_id=mine,mine-1,hidden-1"],
}


@st.composite
def scopes(draw: st.DrawFn) -> tuple[str, dict[str, str]]:
    level, claims = draw(st.sampled_from(CONTEXTS))
    types = draw(st.lists(st.sampled_from(list(NARROWINGS)), min_size=1, max_size=3))
    made = [f"{level}/{type_}.s{draw(st.sampled_from(NARROWINGS[type_]))}" for type_ in types]
    return " ".join(made), claims


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(scopes(), st.sampled_from(["Observation", "Patient", "Device", "Medication"]))
def test_the_store_answers_what_the_predicate_means(
    twin: Guarded, asked: tuple[str, dict[str, str]], type_: str
) -> None:
    """What HTTP returns is what plain Python makes of the decision; 403 when no scope speaks of the type."""
    scope, claims = asked
    actor = Actor(
        "app",
        user=claims.get("fhirUser"),
        organization=claims.get("organization"),
        patient=claims.get("patient"),
        rights=understand(scope),
    )
    decision = decide(actor, 0, Facts(), UTC)
    with twin.as_(token(scope, **claims)):
        response = twin.get(f"{type_}?_count=200")
    if not decision.permits("s", type_):
        refused(response, 403, "forbidden")
        return
    expected = CATALOG.matching(decision.visibility("s"), type_, EVERYTHING)
    assert sorted(matches(load(response))) == sorted(expected)


def _catalog() -> Catalog:
    extractor = Extractor(UTC, BASE)
    kept = [tree for tree in world() if not tree["id"].startswith("hidden") and tree["id"] != "mine-gone"]
    return Catalog((tree["resourceType"], tree["id"], extractor.extract(tree)) for tree in kept)


CATALOG = _catalog()
