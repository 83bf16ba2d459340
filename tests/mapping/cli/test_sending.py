"""fhir-map convert --server: what is refused stands alone, described; stopped, it goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import respx

from tests.mapping.cli.conftest import FhirMap, words

URL = "http://server/fhir"
SEND = words("--no-archive", "--rows", "4", "--server", URL, "--token", "secret")


@pytest.fixture
def server(folder: Path) -> Iterator[respx.Route]:
    rows = "".join(f"{n},p{n},1980-01-02\n" for n in range(8))
    (folder / "people.csv").write_text(f"no,name,born\n{rows}", encoding="utf-8")
    with respx.mock(assert_all_called=False) as router:
        yield router.post(URL).mock(return_value=httpx.Response(200, json={}))


def numbers(route: respx.Route, after: int = 0) -> list[list[str]]:
    """List the patients' numbers of each Bundle that was posted, but for the first ``after``."""
    bundles = [json.loads(call.request.content) for call in list(route.calls)[after:]]
    return sorted(
        [entry["resource"]["identifier"][0]["value"] for entry in bundle["entry"]] for bundle in bundles
    )


def refusing(number: str) -> Any:
    def answer(request: httpx.Request) -> httpx.Response:
        if f'"value":"{number}"' not in request.content.decode():
            return httpx.Response(200, json={})
        issue = {
            "severity": "error",
            "code": "invariant",
            "diagnostics": "No.",
            "expression": ["Bundle.entry[0]"],
        }
        return httpx.Response(422, json={"resourceType": "OperationOutcome", "issue": [issue]})

    return answer


def test_bundles_are_posted_with_the_token_and_nothing_is_printed(
    fhir_map: FhirMap, server: respx.Route
) -> None:
    done = fhir_map(*SEND)

    assert (done.code, done.out) == (0, "")
    assert numbers(server) == [["0", "1", "2", "3"], ["4", "5", "6", "7"]]
    assert server.calls[0].request.headers["Authorization"] == "Bearer secret"
    assert "8 messages sent" in done.err
    assert "secret" not in done.err


def test_a_refused_row_is_found_and_the_others_come_in(fhir_map: FhirMap, server: respx.Route) -> None:
    server.mock(side_effect=refusing("5"))

    done = fhir_map(*SEND)

    assert done.code == 1
    assert "people.csv:7 Bundle.entry[0]: The server refuses it (422): No." in done.err
    accepted = [one for one in numbers(server) if "5" not in one]
    assert sorted(number for one in accepted for number in one) == ["0", "1", "2", "3", "4", "6", "7"]


def test_a_server_that_lets_us_not_in_stops_all(fhir_map: FhirMap, server: respx.Route) -> None:
    server.mock(return_value=httpx.Response(401, json={"issue": [{"diagnostics": "Log in."}]}))

    done = fhir_map(*SEND)
    assert done.code == 1
    assert "lets us not in (401): Log in." in done.err


def test_a_busy_server_is_asked_again(fhir_map: FhirMap, server: respx.Route) -> None:
    busy = httpx.Response(503, headers={"Retry-After": "0"})
    server.mock(side_effect=[busy, busy, *[httpx.Response(200, json={})] * 2])

    assert fhir_map(*SEND).code == 0
    assert len(server.calls) == 4


def test_stopped_it_goes_on_where_it_was(fhir_map: FhirMap, server: respx.Route, folder: Path) -> None:
    journal = ("--journal", str(folder / "sent.json"))
    server.mock(
        side_effect=lambda request: httpx.Response(403 if b'"value":"7"' in request.content else 200, json={})
    )
    assert "The same command goes on where it stopped." in fhir_map(*SEND, *journal).err

    server.mock(return_value=httpx.Response(200, json={}))
    before = len(server.calls)
    assert fhir_map(*SEND, *journal).code == 0
    assert numbers(server, before) == [["4", "5", "6", "7"]]
    before = len(server.calls)
    assert fhir_map(*SEND, *journal).code == 0
    assert numbers(server, before) == []
    assert "p0" not in (folder / "sent.json").read_text(encoding="utf-8")


def test_what_is_no_journal_is_refused(fhir_map: FhirMap, server: respx.Route, folder: Path) -> None:
    (folder / "sent.json").write_text("[]", encoding="utf-8")

    assert "This is no journal" in fhir_map(*SEND, "--journal", "sent.json").err
    assert len(server.calls) == 0
