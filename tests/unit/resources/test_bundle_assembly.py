"""Answer bundles: stored bytes joined untouched into well-formed JSON."""

from __future__ import annotations

import json

import pytest

from fhir_server.resources.bundle import HistoryEntry, Response, history_bundle, responses, searchset
from fhir_server.resources.codec import decode

BODY = b'{"resourceType":"Basic","id":"1","value":1.10}'
OUTCOME = b'{"resourceType":"OperationOutcome"}'


def test_searchset_joins_matches_includes_and_outcome() -> None:
    made = searchset(
        7, [("self", 'http://x/"y')], [("http://x/Basic/1", BODY)], [("http://x/Basic/2", BODY)], OUTCOME
    )

    assert json.loads(made) == {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": 7,
        "link": [{"relation": "self", "url": 'http://x/"y'}],
        "entry": [
            {"fullUrl": "http://x/Basic/1", "resource": json.loads(BODY), "search": {"mode": "match"}},
            {"fullUrl": "http://x/Basic/2", "resource": json.loads(BODY), "search": {"mode": "include"}},
            {"resource": json.loads(OUTCOME), "search": {"mode": "outcome"}},
        ],
    }
    assert made.count(BODY) == 2


def test_empty_searchset_has_a_total_and_no_empty_lists() -> None:
    assert searchset(0, [], []) == b'{"resourceType":"Bundle","type":"searchset","total":0}'
    assert searchset(None, [], []) == b'{"resourceType":"Bundle","type":"searchset"}'


def test_history_tells_request_and_response_and_leaves_out_what_was_deleted() -> None:
    made = history_bundle(
        2,
        [("self", "http://x")],
        [
            HistoryEntry(
                "http://x/Basic/1", b"", "DELETE", "Basic/1", "204", 'W/"2"', "2026-01-02T00:00:00Z"
            ),
            HistoryEntry("http://x/Basic/1", BODY, "POST", "Basic", "201", 'W/"1"', "2026-01-01T00:00:00Z"),
        ],
    )

    deleted, created = decode(made)["entry"]
    assert deleted == {
        "fullUrl": "http://x/Basic/1",
        "request": {"method": "DELETE", "url": "Basic/1"},
        "response": {"status": "204", "etag": 'W/"2"', "lastModified": "2026-01-02T00:00:00Z"},
    }
    assert created["resource"] == decode(BODY)
    assert created["request"] == {"method": "POST", "url": "Basic"}


@pytest.mark.parametrize("kind", ["batch-response", "transaction-response"])
def test_responses_stand_in_the_order_given(kind: str) -> None:
    made = responses(
        kind,  # type: ignore[arg-type]
        [
            Response(201, BODY, location="Basic/1/_history/1", etag='W/"1"', modified="2026-01-01T00:00:00Z"),
            Response(204),
            Response(404, outcome=OUTCOME, full_url="urn:uuid:1"),
        ],
    )

    assert decode(made) == {
        "resourceType": "Bundle",
        "type": kind,
        "entry": [
            {
                "resource": decode(BODY),
                "response": {
                    "status": "201 Created",
                    "location": "Basic/1/_history/1",
                    "etag": 'W/"1"',
                    "lastModified": "2026-01-01T00:00:00Z",
                },
            },
            {"response": {"status": "204 No Content"}},
            {"fullUrl": "urn:uuid:1", "response": {"status": "404 Not Found", "outcome": decode(OUTCOME)}},
        ],
    }
