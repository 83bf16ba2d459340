"""The load is what it says: whole transactions that refer to nothing outside, and no person twice."""

from __future__ import annotations

import json
import random
import re
from itertools import count, islice
from typing import Any

import pytest

from tests.bench import data, large
from tests.bench.population import PAGE, Population, settle


@pytest.fixture(scope="module")
def groups() -> list[list[data.Entry]]:
    return list(islice(data.transactions(), 45))


@pytest.fixture(scope="module")
def stored() -> set[str]:
    """Where the institutions are."""
    return {entry["request"]["url"] for entry in json.loads(data.institutions())["entry"]}


@pytest.fixture(scope="module")
def population() -> Population:
    return settle(data.transactions(), 5)


def _references(tree: Any) -> set[str]:
    if isinstance(tree, dict):
        here = {tree["reference"]} if isinstance(tree.get("reference"), str) else set()
        return here.union(*map(_references, tree.values()))
    return set().union(*map(_references, tree)) if isinstance(tree, list) else set()


def test_a_transaction_creates_a_hundred_resources_and_refers_to_nothing_outside(
    groups: list[list[data.Entry]], stored: set[str]
) -> None:
    for group in groups:
        bundle = json.loads(data.create_bundle(group))
        entries = bundle["entry"]
        mine = {entry["fullUrl"] for entry in entries}

        assert (bundle["resourceType"], bundle["type"], len(entries), len(mine)) == (
            "Bundle",
            "transaction",
            data.SIZE,
            data.SIZE,
        )
        assert all(entry["request"] == {"method": "POST", "url": _type(entry)} for entry in entries)
        assert {ref for ref in _references(entries) if not ref.startswith("#")} <= mine | stored


def _type(entry: dict[str, Any]) -> str:
    return str(entry["resource"]["resourceType"])


def test_no_identifier_and_no_uuid_comes_twice(groups: list[list[data.Entry]]) -> None:
    uuids = [entry.uuid for group in groups for entry in group]
    identifiers = [
        (found["system"], found["value"])
        for group in groups
        for entry in group
        if entry.type == "Patient"
        for found in json.loads(entry.json)["identifier"]
    ]

    assert len(set(uuids)) == len(uuids)
    assert len(set(identifiers)) == len(identifiers)


def test_the_same_seed_gives_the_same_load_and_another_seed_another() -> None:
    first, again, other = (next(data.transactions(seed, size=10)) for seed in (5, 5, 6))

    assert first == again
    assert {entry.uuid for entry in first}.isdisjoint(entry.uuid for entry in other)


def test_a_patient_refers_only_backwards() -> None:
    for patient in data.people(7, count()):
        seen: set[str] = set()
        for entry in patient:
            wanted = set(re.findall(rb"urn:uuid:([0-9a-f-]{36})", entry.json))
            assert {uuid.decode() for uuid in wanted} <= seen
            seen.add(entry.uuid)


def test_institutions_are_stored_under_their_own_ids_and_refer_to_each_other(stored: set[str]) -> None:
    entries = json.loads(data.institutions())["entry"]

    assert {f"{_type(entry)}/{entry['resource']['id']}" for entry in entries} == stored
    assert {entry["request"]["method"] for entry in entries} == {"PUT"}
    assert _references(entries) <= stored


def test_the_population_can_be_asked_for_by_id(population: Population, stored: set[str]) -> None:
    entries = [entry for body in population.bodies for entry in json.loads(body)["entry"]]
    places = {f"{_type(entry)}/{entry['resource']['id']}" for entry in entries}

    assert all(
        entry["request"] == {"method": "PUT", "url": f"{_type(entry)}/{entry['resource']['id']}"}
        for entry in entries
    )
    assert len(places) == len(entries) == population.resources
    assert {path.removeprefix("/fhir/") for path in population.reads} == places - stored
    assert {ref for ref in _references(entries) if not ref.startswith("#")} <= places


def test_sorted_pages_are_asked_of_patients_who_fill_one(population: Population) -> None:
    entries = [json.loads(entry.json) for entry in population.entries if entry.type == "Observation"]

    assert population.sorted_pages
    for path in population.sorted_pages:
        uuid = re.search(r"patient=([0-9a-f-]+)&", path)
        assert uuid
        assert sum(entry["subject"]["reference"] == f"Patient/{uuid[1]}" for entry in entries) >= PAGE


def test_a_large_store_is_asked_every_kind_of_query(population: Population) -> None:
    asked = large.queries(population, random.Random(1))

    assert all(asked.values())
    assert all(path.startswith("/fhir/") and path.isascii() for paths in asked.values() for path in paths)
