"""Labels on write, on containers, by age; who may change them; relabel. https://hl7.org/fhir/R4/security-labels.html"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fhir_server.consent.labels import rules
from tests.http.samples import observation, patient
from tests.http.server import Server, Tree, bundle, entry, load, refused
from tests.http.test_custom_parameters import ended

ICD = "http://hl7.org/fhir/sid/icd-10"
ACT = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
DEPRESSION = {"coding": [{"system": ICD, "code": "F32.9"}]}
HYPERTENSION = {"coding": [{"system": ICD, "code": "I10"}]}
BY_HAND = {"system": CONFIDENTIALITY, "code": "V"}


def condition(subject: str, code: Tree, **more: Any) -> Tree:
    return {"resourceType": "Condition", "subject": {"reference": subject}, "code": code, **more}


def labels(tree: Tree) -> set[str]:
    """Return the codes of a resource's labels."""
    return {coding["code"] for coding in tree["meta"].get("security", [])}


@pytest.fixture
def adult(server: Server) -> str:
    """Store a patient of age; return the reference."""
    return f"Patient/{server.create(patient())['id']}"


def test_a_sensitive_record_is_labelled_and_found_by_it_and_another_is_not(
    server: Server, adult: str
) -> None:
    one = server.create(condition(adult, DEPRESSION))
    other = server.create(condition(adult, HYPERTENSION))

    assert labels(one) == {"PSY", "R"}
    assert all(coding["userSelected"] is False for coding in one["meta"]["security"])
    assert "security" not in other["meta"]
    assert server.find(f"Condition?_security={ACT}|PSY&subject={adult}") == [one["id"]]
    assert server.find(f"Condition?_security:not={ACT}|PSY&subject={adult}") == [other["id"]]


def test_a_correction_takes_the_rules_label_off_and_puts_it_on(server: Server, adult: str) -> None:
    tree = server.create(condition(adult, DEPRESSION))
    path = f"Condition/{tree['id']}"

    corrected = load(server.put(path, {**tree, "code": HYPERTENSION}))
    patched = load(server.patch(path, [{"op": "replace", "path": "/code", "value": DEPRESSION}]))

    assert labels(corrected) == set()
    assert labels(patched) == {"PSY", "R"}


def test_who_leaves_the_rules_labels_out_changes_nothing(server: Server, adult: str) -> None:
    tree = server.create(condition(adult, DEPRESSION))
    bare = {key: part for key, part in tree.items() if key != "meta"}

    again = server.put(f"Condition/{tree['id']}", bare)

    assert load(again) == tree
    assert again.headers["etag"] == 'W/"1"'


def test_what_a_person_set_stays_and_the_highest_confidentiality_counts(server: Server, adult: str) -> None:
    tree = server.create(condition(adult, DEPRESSION, meta={"security": [BY_HAND]}))
    corrected = load(server.put(f"Condition/{tree['id']}", {**tree, "code": HYPERTENSION}))

    assert labels(tree) == {"PSY", "V"}
    assert corrected["meta"]["security"] == [BY_HAND]


def test_a_container_bears_what_it_refers_to_stored_or_beside_it(server: Server, adult: str) -> None:
    sad, well = (server.create(condition(adult, code))["id"] for code in (DEPRESSION, HYPERTENSION))

    def stay(reference: str) -> Tree:
        return {
            "resourceType": "Encounter",
            "status": "finished",
            "class": {"system": ACT, "code": "AMB"},
            "subject": {"reference": adult},
            "diagnosis": [{"condition": {"reference": reference}}],
        }

    assert labels(server.create(stay(f"Condition/{sad}"))) == {"PSY", "R"}
    assert labels(server.create(stay(f"Condition/{well}"))) == set()

    name = "urn:uuid:6b6d0c44-7d0c-4c5e-9d0e-0f6a4a2f6a11"
    answer = server.transact(
        entry("POST", "Encounter", stay(name)),
        {**entry("POST", "Condition", condition(adult, DEPRESSION)), "fullUrl": name},
        Prefer="return=representation",
    )
    made = [each["resource"] for each in load(answer)["entry"]]
    assert [labels(tree) for tree in made] == [{"PSY", "R"}, {"PSY", "R"}]


def test_a_document_bears_what_is_in_it(server: Server, adult: str) -> None:
    inside = {
        "resource": {**condition(adult, DEPRESSION), "id": "c"},
        "fullUrl": "http://x.example/Condition/c",
    }
    author = {
        "resource": {"resourceType": "Organization", "id": "o", "name": "H"},
        "fullUrl": "http://x.example/o",
    }
    head = {
        "resourceType": "Composition",
        "id": "h",
        "status": "final",
        "type": {"text": "Discharge summary"},
        "date": "2026-01-01",
        "author": [{"reference": "http://x.example/o"}],
        "title": "Summary",
    }
    document = {
        **bundle("document", [{"resource": head, "fullUrl": "http://x.example/h"}, inside, author]),
        "identifier": {"system": "urn:x", "value": "1"},
        "timestamp": "2026-01-01T00:00:00Z",
    }

    assert labels(server.create(document)) == {"PSY", "R"}


def test_a_minors_records_are_labelled_by_the_age_at_the_time(server: Server) -> None:
    grown = f"Patient/{server.create(patient(birthDate='2000-05-01'))['id']}"
    child = server.create(patient(birthDate="2020-05-01"))

    assert labels(child) == {"ADOL"}
    assert labels(server.create(observation(f"Patient/{child['id']}"))) == {"ADOL"}
    assert labels(server.create(observation(grown, when="2018-04-30"))) == {"ADOL"}
    assert labels(server.create(observation(grown, when="2018-05-01"))) == set()


def test_a_minors_records_of_the_same_transaction_are_labelled_too(server: Server) -> None:
    name = "urn:uuid:6b6d0c44-7d0c-4c5e-9d0e-0f6a4a2f6a12"
    answer = server.transact(
        entry("POST", "Observation", observation(name)),
        {**entry("POST", "Patient", patient(birthDate="2020-05-01")), "fullUrl": name},
        Prefer="return=representation",
    )

    assert [labels(each["resource"]) for each in load(answer)["entry"]] == [{"ADOL"}, {"ADOL"}]


def lenient(folder: Path) -> Path:
    """Write rules that know no mental health."""
    source = Path(__file__).parents[2] / "conformance" / "policies" / "labels.json"
    data = json.loads(source.read_text(encoding="utf-8"))
    data["rules"] = [rule for rule in data["rules"] if rule["name"] != "mental-health"]
    path = folder / "labels.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def test_relabel_brings_the_store_after_changed_rules(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve(label_rules=lenient(tmp_path))
    adult = f"Patient/{server.create(patient())['id']}"
    sad = server.create(condition(adult, DEPRESSION, meta={"security": [{"system": ACT, "code": "VIO"}]}))
    well = server.create(condition(adult, HYPERTENSION))
    assert labels(sad) == {"VIO"}
    server.stop()
    server._settings = server._settings.model_copy(update={"label_rules": None})
    server.start()

    told = load(ended(server, server.post("$relabel", None).headers["content-location"]))

    values = {each["name"]: each for each in told["parameter"]}
    assert (values["resources"]["valueInteger"], values["relabelled"]["valueInteger"]) == (3, 1)
    now = load(server.get(f"Condition/{sad['id']}"))
    assert labels(now) == {"VIO", "PSY", "R"}
    assert now["meta"]["versionId"] == "2"
    assert load(server.get(f"Condition/{well['id']}"))["meta"]["versionId"] == "1"
    again = load(ended(server, server.post("Condition/$relabel", None).headers["content-location"]))
    counted = {each["name"]: each for each in again["parameter"]}
    assert (counted["resources"]["valueInteger"], counted["relabelled"]["valueInteger"]) == (2, 0)


def chained(subject: str, content: str) -> list[Tree]:
    """Return containers, each of which holds the next; by type and by id the outer ones come first."""
    about = {"subject": {"reference": subject}}
    plan = {"resourceType": "CarePlan", "id": "a", "status": "active", "intent": "plan", **about}
    report = {
        "resourceType": "DiagnosticReport",
        "id": "c",
        "status": "final",
        "code": {"text": "x"},
        **about,
    }
    history = {"resourceType": "ClinicalImpression", "status": "completed", **about}
    done = {"resourceType": "Procedure", "id": "d", "status": "completed", **about}
    return [
        {**plan, "supportingInfo": [{"reference": "ClinicalImpression/b1"}]},
        {**history, "id": "b1", "previous": {"reference": "ClinicalImpression/b2"}},
        {**history, "id": "b2", "supportingInfo": [{"reference": "DiagnosticReport/c"}]},
        {**report, "basedOn": [{"reference": "CarePlan/z"}]},
        {**plan, "id": "z", "activity": [{"outcomeReference": [{"reference": "Procedure/d"}]}]},
        {**done, "reasonReference": [{"reference": content}]},
    ]


def test_relabel_reaches_containers_of_containers_to_any_depth_and_takes_off_again(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    server = serve(label_rules=lenient(tmp_path))
    subject = f"Patient/{server.create(patient())['id']}"
    sad = f"Condition/{server.create(condition(subject, DEPRESSION))['id']}"
    plain = {"resourceType": "ClinicalImpression", "id": "other", "status": "completed"}
    trees = [*chained(subject, sad), {**plain, "subject": {"reference": subject}}]
    for tree in trees:
        assert server.put(f"{tree['resourceType']}/{tree['id']}", tree).status_code == 201

    for rules_, expected in ((None, {"PSY", "R"}), (lenient(tmp_path), set())):
        server.stop()
        server._settings = server._settings.model_copy(update={"label_rules": rules_})
        server.start()
        told = load(ended(server, server.post("$relabel", None).headers["content-location"]))

        values = {each["name"]: each for each in told["parameter"]}
        found = [labels(load(server.get(f"{tree['resourceType']}/{tree['id']}"))) for tree in trees]
        assert found == [*[expected] * 6, set()]
        assert values["relabelled"]["valueInteger"] == 7
    again = load(ended(server, server.post("$relabel", None).headers["content-location"]))
    assert {each["name"]: each for each in again["parameter"]}["resources"]["valueInteger"] == 9


def test_relabel_names_its_parameters(server: Server) -> None:
    refused(server.post("$relabel?type=Nothing", None), 400, "value")
    refused(server.get("$relabel-status?job=none"), 404, "not-found")


def test_the_page_lists_every_rule() -> None:
    source = Path(__file__).parents[2]
    data = json.loads((source / "conformance" / "policies" / "labels.json").read_text(encoding="utf-8"))
    page = (source / "docs" / "labels.md").read_text(encoding="utf-8")

    for rule in [*data["rules"], data["minors"]]:
        assert f"`{rule['labels']['act']}`" in page
    assert rules().years == data["minors"]["years"]
