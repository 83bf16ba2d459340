"""Many clients at once: one winner where there can be only one, and no update lost.

https://hl7.org/fhir/R4/http.html#concurrency and https://hl7.org/fhir/R4/http.html#ccreate
"""

from __future__ import annotations

from collections import Counter

import pytest

from tests.http.samples import patient, tagged, unique
from tests.http.server import Server, Tree, bundle, entry, load

pytestmark = pytest.mark.every_engine

CLIENTS = 16


def test_sixteen_creates_with_one_condition_make_exactly_one(server: Server) -> None:
    for _ in range(5):
        tag = unique()
        answers = server.together(
            [("POST", "Patient", patient(tag), {"if_none_exist": tagged(tag)})] * CLIENTS
        )

        assert Counter(answer.status_code for answer in answers) == {201: 1, 200: CLIENTS - 1}
        assert len({load(answer)["id"] for answer in answers}) == 1
        assert len(server.find(f"Patient?{tagged(tag)}")) == 1


def test_sixteen_conditional_updates_of_nothing_make_exactly_one(server: Server) -> None:
    tag = unique()
    calls = [
        ("PUT", f"Patient?{tagged(tag)}", patient(tag, birthDate=f"1980-01-{day + 1:02}"), {})
        for day in range(CLIENTS)
    ]

    answers = server.together(calls)

    assert {answer.status_code for answer in answers} <= {200, 201, 409}
    assert [answer.status_code for answer in answers].count(201) == 1
    assert len(server.find(f"Patient?{tagged(tag)}")) == 1


def test_each_round_of_updates_with_if_match_has_exactly_one_winner(server: Server, patient_id: str) -> None:
    for version in range(1, 7):
        calls = [
            (
                "PUT",
                f"Patient/{patient_id}",
                {**patient(birthDate=f"19{version + 50}-01-{day + 1:02}"), "id": patient_id},
                {"if_match": f'W/"{version}"'},
            )
            for day in range(CLIENTS)
        ]

        answers = server.together(calls)

        assert Counter(answer.status_code for answer in answers) == {200: 1, 412: CLIENTS - 1}
        (winner,) = (answer for answer in answers if answer.status_code == 200)
        assert server.get(f"Patient/{patient_id}").content == winner.content


def test_updates_without_if_match_all_happen_one_after_another_or_are_told_of_the_conflict(
    server: Server, patient_id: str
) -> None:
    calls = [
        ("PUT", f"Patient/{patient_id}", {**patient(birthDate=f"1980-01-{day + 1:02}"), "id": patient_id}, {})
        for day in range(CLIENTS)
    ]

    answers = server.together(calls)

    done = [answer for answer in answers if answer.status_code == 200]
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert done
    versions = {answer.headers["etag"] for answer in done}
    assert len(versions) == len(done), "two updates were given one version"
    assert load(server.get(f"Patient/{patient_id}/_history"))["total"] == 1 + len(done)


def test_patches_at_once_are_all_kept_or_told_of_the_conflict(server: Server, patient_id: str) -> None:
    def patch(n: int) -> Tree:
        return {"op": "add", "path": "/name/0/given/-", "value": f"n{n}"}

    calls = [("PATCH", f"Patient/{patient_id}", [patch(n)], {}) for n in range(8)]

    answers = server.together(calls)

    done = {f"n{n}" for n, answer in enumerate(answers) if answer.status_code == 200}
    assert done <= set(load(server.get(f"Patient/{patient_id}"))["name"][0]["given"])
    assert {answer.status_code for answer in answers} <= {200, 409}


def test_transactions_with_one_condition_make_exactly_one(server: Server) -> None:
    tag = unique()
    urn = "urn:uuid:5f1d3e0e-57f0-4dd9-a5b0-9e6a9b6a2b11"
    sent = bundle(
        "transaction",
        [
            entry("POST", "Patient", patient(tag), full_url=urn, ifNoneExist=tagged(tag)),
            entry(
                "POST",
                "Basic",
                {"resourceType": "Basic", "code": {"text": tag}, "subject": {"reference": urn}},
            ),
        ],
    )

    answers = server.together([("POST", "", sent, {})] * 8)

    assert {answer.status_code for answer in answers} == {200}
    (id_,) = server.find(f"Patient?{tagged(tag)}")
    assert len(server.find(f"Basic?subject=Patient/{id_}")) == 8


def test_a_read_beside_writes_sees_whole_versions_only(server: Server, patient_id: str) -> None:
    calls = []
    for day in range(1, 11):
        body = {**patient(birthDate=f"1980-01-{day:02}", name=[{"family": f"v{day:02}"}]), "id": patient_id}
        calls += [("PUT", f"Patient/{patient_id}", body, {}), ("GET", f"Patient/{patient_id}", None, {})]

    for answer in server.together(calls):
        tree = load(answer)
        if answer.status_code == 200 and "family" in str(tree["name"]) and tree["meta"]["versionId"] != "1":
            assert tree["name"][0]["family"] == f"v{tree['birthDate'][-2:]}"
