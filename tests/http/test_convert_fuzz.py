"""$convert and hostile content: never a failure of the server, never a value quoted in what it says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.http.samples import GIVEN, ID_NUMBER
from tests.http.server import Server, load
from tests.http.test_convert import convert, golden
from tests.mapping.his.world import extract, rows_of

FUZZ = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
KINDS = ("2201", "2207", "2401", "5301")
TABLES = [(name, table) for name in ("junwei", "hsa") for table in sorted(rows_of(name))]
VALUES: list[Any] = [
    GIVEN, ID_NUMBER, f"{GIVEN}1", [GIVEN], {GIVEN: ID_NUMBER}, None, True, 10**30, "1E999999", "9" * 400,
    "2024-13-45", "\0", "",
]  # fmt: skip

pytestmark = pytest.mark.xdist_group("convert-fuzz-server")  # one server for the file, not one per worker


@st.composite
def planted(draw: st.DrawFn) -> bytes:
    """Return a golden message some of whose values are somebody's, or nonsense."""
    kind = draw(st.sampled_from(KINDS))

    def change(node: Any) -> Any:
        if isinstance(node, dict):
            return {k: v if k in {"infno", "infcode"} else change(v) for k, v in node.items()}
        if isinstance(node, list):
            return [change(item) for item in node]
        return draw(st.sampled_from(VALUES)) if draw(st.booleans()) else node

    return json.dumps(change(json.loads(golden(kind))), ensure_ascii=False).encode()


@st.composite
def torn(draw: st.DrawFn, content: bytes) -> bytes:
    """Return content with bytes cut out and others put in."""
    body = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(body)))
        piece = draw(
            st.sampled_from([GIVEN.encode(), b'"', b"\0", b"\n", b"\r", b",,,,", b"1E99999", b"\xff"])
        )
        body[at : at + draw(st.integers(0, 4))] = piece
    return bytes(body)


def outcomes(node: Any) -> Iterator[str]:
    """Yield what the OperationOutcomes of an answer say."""
    if isinstance(node, dict):
        if node.get("resourceType") == "OperationOutcome":
            yield from (issue["diagnostics"] for issue in node["issue"])
        for value in node.values():
            yield from outcomes(value)
    elif isinstance(node, list):
        for item in node:
            yield from outcomes(item)


def check(server: Server, content: bytes, query: str, media: str) -> None:
    for more in ("", "&store=true"):
        response = convert(server, content, query + more, content_type=media)
        assert response.status_code in {200, 400, 413, 422}, response.text
        told = list(outcomes(load(response)))
        assert told
        assert not any(word in text for text in told for word in (GIVEN, ID_NUMBER)), told


@FUZZ
@given(planted())
def test_values_of_a_message_are_not_quoted(server: Server, content: bytes) -> None:
    check(server, content, "$convert?format=nhsa&source=f", "application/json")


@FUZZ
@given(st.data())
def test_torn_messages_are_refused_or_read(server: Server, data: st.DataObject) -> None:
    content = data.draw(torn(golden(data.draw(st.sampled_from(KINDS)))))
    check(server, content, "$convert?format=nhsa&source=f&kind=2207", "application/json")


@FUZZ
@given(st.data())
def test_torn_tables_are_refused_or_read(server: Server, data: st.DataObject) -> None:
    name, table = data.draw(st.sampled_from(TABLES))
    content = data.draw(torn(extract(name, table)))
    check(server, content, f"$convert?format={name}&source=f&option=table={table}", "text/csv")


@settings(FUZZ, max_examples=150)
@given(st.lists(st.tuples(st.text(max_size=12), st.text(max_size=30)), max_size=4))
def test_arguments_are_taken_or_refused(server: Server, pairs: list[tuple[str, str]]) -> None:
    parameter = [{"name": "format", "valueCode": "nhsa"}, {"name": "content", "valueString": "{}"}]
    for name, value in pairs:
        parameter.append({"name": name or "source", "valueString": value})
    response = server.post("$convert", {"resourceType": "Parameters", "parameter": parameter})

    assert response.status_code in {400, 422}
