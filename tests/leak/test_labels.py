"""Labels that consent relies on: how a record might leave without them, or by a version that had none yet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests import engines
from tests.consent.filed import ACT, HERE, ICD, PSY, consent
from tests.http.server import BASE, Tree, bundle, entry, load
from tests.leak.house import ROOT, Guarded, guarded, person, token, value

pytestmark = pytest.mark.every_engine

HOSPITAL = token("system/*.cruds", client_id="his", organization="Organization/here", purposes=["TREAT"])
FIRST, SECOND = (f"urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e{n}" for n in (1, 2))
DATED = {
    "resourceType": "Parameters",
    "parameter": [
        {
            "name": "operation",
            "part": [
                {"name": "type", "valueCode": "add"},
                {"name": "path", "valueString": "Condition"},
                {"name": "name", "valueString": "recordedDate"},
                {"name": "value", "valueDateTime": "2026-01-01"},
            ],
        }
    ],
}


@pytest.fixture(scope="module")
def house(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Serve a patient who said nothing, and one who hides mental health from the own hospital."""
    with engines.using(engine), guarded(tmp_path_factory.mktemp("labels")) as server:
        with server.as_(ROOT):
            server.put("Patient/shy", person("shy", "Shy", "here"))
            server.create(consent(HERE, PSY, permit=False, patient="shy"))
        yield server


def condition(code: str, patient: str = "mine", **more: Any) -> Tree:
    return {
        "resourceType": "Condition",
        "subject": {"reference": f"Patient/{patient}"},
        "code": {"coding": [{"system": ICD, "code": code}]},
        "identifier": [{"system": "urn:condition", "value": uuid4().hex}],
        **more,
    }


def number(tree: Tree) -> str:
    return str(tree["identifier"][0]["value"])


def document(*references: str) -> Tree:
    return {
        "resourceType": "Composition",
        "status": "final",
        "type": {"coding": [{"system": "http://loinc.org", "code": "11488-4"}]},
        "subject": {"reference": "Patient/mine"},
        "date": "2026-01-01",
        "author": [{"reference": "Practitioner/doctor"}],
        "title": "Letter",
        "section": [{"title": "All", "entry": [{"reference": each} for each in references]}],
    }


def labels(tree: Tree) -> set[str]:
    return {each["code"] for each in tree["meta"].get("security", [])}


def named(url: str, each: Tree, **request: str) -> Tree:
    return {**each, "fullUrl": url, "request": {**each["request"], **request}}


def made(server: Guarded, *entries: Tree) -> list[Tree]:
    """Return what a transaction of the hospital stores."""
    with server.as_(HOSPITAL):
        answer = server.post("", bundle("transaction", entries), Prefer="return=representation")
    assert answer.status_code == 200, answer.text
    return [each["resource"] for each in load(answer)["entry"]]


def stored(server: Guarded, tree: Tree) -> Tree:
    with server.as_(ROOT):
        return server.create(tree)


@pytest.mark.parametrize("address", ["{}", f"{BASE}/{{}}", "{}/_history/1", f"{BASE}/{{}}/_history/1"])
def test_a_container_bears_its_labels_however_it_refers(house: Guarded, address: str) -> None:
    sad, well = (stored(house, condition(code))["id"] for code in ("F32.9", "I10"))

    assert labels(stored(house, document(address.format(f"Condition/{sad}")))) == {"PSY", "R"}
    assert labels(stored(house, document(address.format(f"Condition/{well}")))) == set()


def test_a_reference_to_another_server_is_not_looked_up_here(house: Guarded) -> None:
    sad = stored(house, condition("F32.9"))["id"]

    assert labels(stored(house, document(f"https://elsewhere.example.org/Condition/{sad}"))) == set()


def test_a_patch_beside_a_container_hides_no_label(house: Guarded) -> None:
    sad, well = (stored(house, condition(code))["id"] for code in ("F32.9", "I10"))
    patches = [entry("PATCH", f"Condition/{id_}", DATED) for id_ in (sad, well)]

    told = made(
        house,
        *patches,
        entry("POST", "Composition", document(f"Condition/{sad}")),
        entry("POST", "Composition", document(f"Condition/{well}")),
    )

    assert [labels(tree) for tree in told] == [{"PSY", "R"}, set(), {"PSY", "R"}, set()]


@pytest.mark.parametrize("times", [1, 2])
def test_a_conditional_create_puts_nothing_in_place_of_what_exists(house: Guarded, times: int) -> None:
    criteria = f"identifier=urn:condition|{number(stored(house, condition('F32.9')))}"
    told = made(
        house,
        *(
            named(url, entry("POST", "Condition", condition("I10")), ifNoneExist=criteria)
            for url in (FIRST, SECOND)[:times]
        ),
        entry("POST", "Composition", document(FIRST)),
    )

    assert labels(told[-1]) == {"PSY", "R"}


def test_of_two_creates_with_one_condition_the_first_says_what_it_is(house: Guarded) -> None:
    creates = [
        named(url, entry("POST", "Condition", condition(code)), ifNoneExist="identifier=urn:condition|x")
        for url, code in ((FIRST, "F32.9"), (SECOND, "I10"))
    ]

    *_, letter = made(house, *creates, entry("POST", "Composition", document(SECOND)))

    assert labels(letter) == {"PSY", "R"}


def test_a_conditional_create_makes_no_minor_older(house: Guarded) -> None:
    for id_, born in (("kid", "2020-01-01"), ("elder", "1950-01-01")):
        with house.as_(ROOT):
            house.put(f"Patient/{id_}", {**person(id_, id_, "here"), "birthDate": born})
    told = []
    for family in ("kid", "elder"):
        claimed = {**person("x", family, "here"), "birthDate": "1950-01-01"}
        del claimed["id"]
        result = value("x", "mine", "1-1", "1", subject={"reference": FIRST})
        del result["id"]
        criteria = f"identifier=urn:tag|{family}"
        told += made(
            house,
            named(FIRST, entry("POST", "Patient", claimed), ifNoneExist=criteria),
            entry("POST", "Observation", result),
        )[1:]

    assert [labels(tree) for tree in told] == [{"ADOL"}, set()]


def test_a_container_in_a_container_of_one_commit_bears_what_the_inner_one_holds(house: Guarded) -> None:
    sad, well = (stored(house, condition(code))["id"] for code in ("F32.9", "I10"))
    told = []
    for id_ in (sad, well):
        report = {
            "resourceType": "DiagnosticReport",
            "status": "final",
            "code": {"text": "Report"},
            "subject": {"reference": "Patient/mine"},
            "basedOn": [{"reference": SECOND}],
        }
        order = {
            "resourceType": "ServiceRequest",
            "status": "active",
            "intent": "order",
            "subject": {"reference": "Patient/mine"},
            "reasonReference": [{"reference": f"Condition/{id_}"}],
            "supportingInfo": [{"reference": FIRST}],  # a circle ends
        }
        told += made(
            house,
            entry("POST", "Composition", document(FIRST)),
            named(FIRST, entry("POST", "DiagnosticReport", report)),
            named(SECOND, entry("POST", "ServiceRequest", order)),
        )

    assert [labels(tree) for tree in told] == [{"PSY", "R"}] * 3 + [set()] * 3


PATHS = ["{}/_history/1", "{}/_history", "Condition/_history", "_history?_count=200"]


def _with_label(tree: Tree) -> Tree:
    return {**tree, "meta": {**tree["meta"], "security": [{"system": ACT, "code": "PSY"}]}}


@pytest.mark.parametrize("is_deleted", [False, True])
@pytest.mark.parametrize("path", PATHS)
def test_a_version_from_before_its_label_is_hidden_too(house: Guarded, path: str, is_deleted: bool) -> None:
    """Twin: a record that was changed and not labelled keeps its history."""
    sad, well = (stored(house, condition(code, "shy")) for code in ("X1", "X2"))
    with house.as_(ROOT):
        house.put(f"Condition/{sad['id']}", _with_label(sad))
        house.put(f"Condition/{well['id']}", {**well, "recordedDate": "2026-01-01"})
        for tree in (sad, well) if is_deleted else ():
            house.delete(f"Condition/{tree['id']}")

    def shown(tree: Tree) -> bool:
        answer = house.get(path.format(f"Condition/{tree['id']}"))
        return answer.status_code == 200 and number(tree) in answer.text

    with house.as_(HOSPITAL):
        assert not shown(sad)
        assert shown(well)
    with house.as_(ROOT):
        assert shown(sad)


def test_a_version_that_was_labelled_stays_hidden_when_the_newest_is_not(house: Guarded) -> None:
    sad = stored(house, condition("F32.9", "shy"))
    with house.as_(ROOT):
        house.put(f"Condition/{sad['id']}", {**sad, "code": condition("I10")["code"]})
    with house.as_(HOSPITAL):
        assert house.get(f"Condition/{sad['id']}/_history/1").status_code == 404
        assert house.get(f"Condition/{sad['id']}").status_code == 200
        assert load(house.get(f"Condition/{sad['id']}/_history"))["total"] == 1
