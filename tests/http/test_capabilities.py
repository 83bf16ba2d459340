"""The CapabilityStatement claims what is served, and nothing else.

https://hl7.org/fhir/R4/capabilitystatement.html
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from fhir_server.resources.types import RESOURCE_TYPES
from fhir_server.search.parameters import SECURITY_CONTEXT, by_url
from tests.http.samples import patient, tagged, unique
from tests.http.server import BASE, Server, Tree, bundle, dump, entry, load, refused, statuses

EXAMPLES = {
    "token": "x",
    "string": "x",
    "date": "2024-01",
    "number": "5",
    "quantity": "5",
    "reference": "x",
    "uri": "http://x.example",
    "special": "31.2|121.4|10|km",
}


def example(parameter: Tree) -> str:
    """Return a value that a search parameter can read: of a composite one value for each component."""
    if parameter["type"] != "composite":
        return EXAMPLES[parameter["type"]]
    known = by_url()
    parts = known[parameter["definition"]].components
    return "$".join(EXAMPLES[known[part.definition].type] for part in parts)


@pytest.fixture(scope="module")
def statement(server: Server) -> Tree:
    """Return what /metadata says."""
    return load(server.get("metadata"))


@cache
def resource_types() -> list[str]:
    return sorted(RESOURCE_TYPES)


def test_says_what_it_is_and_where(statement: Tree) -> None:
    assert statement["resourceType"] == "CapabilityStatement"
    assert (statement["fhirVersion"], statement["kind"], statement["status"]) == (
        "4.0.1",
        "instance",
        "active",
    )
    assert statement["implementation"]["url"] == BASE
    assert set(statement["format"]) == {"json", "xml"}


def test_lists_every_resource_type_of_r4_once(statement: Tree) -> None:
    types = [resource["type"] for resource in statement["rest"][0]["resource"]]

    assert types == resource_types()
    assert len(types) == 146


def test_the_base_address_of_the_settings_is_the_one_told(serve: Callable[..., Server]) -> None:
    server = serve(base_url="https://fhir.example.org/r4")

    assert load(server.get("metadata"))["implementation"]["url"] == "https://fhir.example.org/r4"
    created = server.post("Patient", patient())
    assert created.headers["location"].startswith("https://fhir.example.org/r4/Patient/")
    found = load(server.get("Patient"))
    assert found["entry"][0]["fullUrl"].startswith("https://fhir.example.org/r4/Patient/")
    assert found["link"][0]["url"].startswith("https://fhir.example.org/r4/Patient")


def test_every_claimed_search_parameter_is_understood_by_its_type(server: Server, statement: Tree) -> None:
    entries, names = [], []
    for resource in statement["rest"][0]["resource"]:
        for parameter in resource["searchParam"]:
            query = f"{resource['type']}?{parameter['name']}={example(parameter)}"
            entries.append(entry("GET", f"{query}&_summary=count"))
            names.append(f"{resource['type']}.{parameter['name']}")
    failed = []
    for start in range(0, len(entries), 500):
        answers = statuses(load(server.post("", bundle("batch", entries[start : start + 500]))))
        failed += [
            name for name, status in zip(names[start : start + 500], answers, strict=True) if status != 200
        ]

    assert failed == []
    assert len(names) > 1500


def test_every_claimed_parameter_has_the_definition_of_r4(statement: Tree) -> None:
    for resource in statement["rest"][0]["resource"]:
        codes = [parameter["name"] for parameter in resource["searchParam"]]
        assert len(codes) == len(set(codes)), resource["type"]
        for parameter in resource["searchParam"]:
            is_r4s = parameter["definition"].startswith("http://hl7.org/fhir/SearchParameter/")
            assert is_r4s or parameter["definition"] == SECURITY_CONTEXT.url


def test_what_is_not_claimed_is_refused(server: Server, statement: Tree) -> None:
    claimed = {
        p["name"]
        for r in statement["rest"][0]["resource"]
        if r["type"] == "Patient"
        for p in r["searchParam"]
    }

    assert "nickname" not in claimed
    assert server.get("Patient?nickname=x").status_code == 400


def test_every_claimed_include_is_served(server: Server, statement: Tree) -> None:
    entries = [
        entry("GET", f"{resource['type']}?_include={include}&_count=1")
        for resource in statement["rest"][0]["resource"]
        for include in resource["searchInclude"]
    ]
    for start in range(0, len(entries), 500):
        answers = statuses(load(server.post("", bundle("batch", entries[start : start + 500]))))
        assert set(answers) == {200}


def test_every_claimed_interaction_is_served_for_a_type(server: Server, statement: Tree) -> None:
    claimed = {
        each["code"]
        for resource in statement["rest"][0]["resource"]
        if resource["type"] == "Patient"
        for each in resource["interaction"]
    }
    tag = unique()
    id_ = server.create(patient(tag))["id"]
    address = f"Patient/{id_}"
    answers = {
        "create": server.post("Patient", patient()),
        "read": server.get(address),
        "vread": server.get(f"{address}/_history/1"),
        "update": server.put(address, {**patient(tag, active=False), "id": id_}),
        "patch": server.patch(address, [{"op": "remove", "path": "/gender"}]),
        "history-instance": server.get(f"{address}/_history"),
        "history-type": server.get("Patient/_history"),
        "search-type": server.get(f"Patient?{tagged(tag)}"),
        "delete": server.delete(address),
    }

    assert claimed == set(answers)
    assert {answer.status_code for answer in answers.values()} == {200, 201, 204}


def test_every_claimed_system_interaction_is_served(server: Server, statement: Tree) -> None:
    claimed = {each["code"] for each in statement["rest"][0]["interaction"]}
    answers = {
        "batch": server.post("", bundle("batch", [])),
        "transaction": server.post("", bundle("transaction", [])),
        "history-system": server.get("_history"),
        "search-system": server.get("?_lastUpdated=ge2024"),
    }

    assert claimed == set(answers)
    assert {answer.status_code for answer in answers.values()} == {200}


def test_every_claimed_operation_is_served_where_it_is_claimed(server: Server, statement: Tree) -> None:
    rest = statement["rest"][0]
    system = {operation["name"] for operation in rest["operation"]}
    by_type = {r["type"]: {o["name"] for o in r.get("operation", [])} for r in rest["resource"]}

    for name in system:
        served = server.get(f"${name}").status_code
        assert served != 404, name
    assert server.get("$everything").status_code == 404
    assert {"everything", "meta", "meta-add", "meta-delete", "validate"} <= by_type["Patient"]
    assert "everything" not in by_type["Observation"]
    assert server.get("Patient/$everything").status_code == 200
    assert server.get("Observation/$everything").status_code == 404
    assert server.get("Patient/$export").status_code == 404


@pytest.mark.parametrize(
    "format_", ["application/json-patch+json", "application/fhir+json", "application/fhir+xml"]
)
def test_every_claimed_patch_format_is_read(
    server: Server, statement: Tree, patient_id: str, format_: str
) -> None:
    assert format_ in statement["patchFormat"]
    body = {
        "application/json-patch+json": b"[]",
        "application/fhir+json": dump({"resourceType": "Parameters"}),
        "application/fhir+xml": b'<Parameters xmlns="http://hl7.org/fhir"/>',
    }[format_]

    answer = server.patch(f"Patient/{patient_id}", body, content_type=format_)

    assert answer.status_code != 415


def test_referential_integrity_is_claimed_only_when_it_is_kept(
    server: Server, serve: Callable[..., Server]
) -> None:
    def policies(of: Server) -> set[str]:
        return set(load(of.get("metadata"))["rest"][0]["resource"][0]["referencePolicy"])

    assert "enforced" not in policies(server)
    assert "enforced" in policies(serve(referential_integrity=True))


def test_another_mode_than_full_is_refused(server: Server, statement: Tree) -> None:
    assert load(server.get("metadata?mode=full")) == statement
    refused(server.get("metadata?mode=terminology"), 400, "not-supported")
    refused(server.get("metadata?name=x"), 400, "not-supported")
