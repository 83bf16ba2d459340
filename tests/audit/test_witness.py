"""Log lines as another witness: what they tell of closed segments is compared with what is there."""

from __future__ import annotations

import logging
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.audit.segment import read_statement
from fhir_server.audit.shelf import Segment
from fhir_server.audit.verify import verify
from fhir_server.audit.witness import heard
from fhir_server.rest.logs import JsonFormatter
from tests.audit.hands import hands_on
from tests.audit.world import keys_in, read, shelf_in, write_in

pytestmark = pytest.mark.every_engine

FIRST, SECOND = Segment("p00", 1), Segment("p00", 2)


def lines_of(caplog: pytest.LogCaptureFixture) -> list[bytes]:
    """Return what was logged as the server writes it."""
    return [JsonFormatter().format(record).encode() + b"\n" for record in caplog.records]


def test_log_lines_witness_what_the_log_and_all_that_lies_beside_it_have_forgotten(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keys = keys_in(tmp_path)
    with closing(shelf_in(tmp_path)) as shelf, caplog.at_level(logging.INFO, logger="fhir_server.audit"):
        write_in(shelf, keys, [[read(1)]])
        hands = hands_on(shelf, tmp_path / "audit")
        before = hands.heads()
        write_in(shelf, keys, [[read(2)]])
        witnesses = heard(lines_of(caplog))
        assert verify(shelf, keys, witnesses).findings == ()

        # Who may change everything goes back to how it was.
        hands.remove(SECOND)
        hands.set_heads(before)
        assert verify(shelf, keys).findings == ()
        assert [each.place for each in verify(shelf, keys, witnesses).findings] == ["p00/00000002"]

        # And writes another history, with the keys.
        write_in(shelf, keys, [[read(3)]])
        assert verify(shelf, keys).findings == ()
        (finding,) = verify(shelf, keys, witnesses).findings
        assert finding.place == "p00/00000002"
        assert "remembered" in finding.words


def test_a_chain_that_log_lines_alone_remember_is_missing(tmp_path: Path) -> None:
    with closing(shelf_in(tmp_path)) as shelf:
        (finding,) = verify(shelf, keys_in(tmp_path), {Segment("p07", 2): {"00"}}).findings

    assert finding.place == "p07"


def test_a_line_tells_the_final_hash(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with closing(shelf_in(tmp_path)) as shelf, caplog.at_level(logging.INFO, logger="fhir_server.audit"):
        write_in(shelf, keys_in(tmp_path), [[read(1)]])
        statement = read_statement(shelf.statement(FIRST))

    assert statement is not None
    collected = [b"2026-03-01T08:00:00Z server-a " + line for line in lines_of(caplog)]
    assert heard(collected) == {FIRST: {statement.hash}}


@pytest.mark.parametrize(
    "line",
    [
        b'{"logger": "fhir_server.app", "segment": "p00/00000001", "hash": "00"}',
        b'{"logger": "fhir_server.audit", "segment": "p00/00000001"}',
        b'{"logger": "fhir_server.audit", "segment": "p00", "hash": "00"}',
        b'{"logger": "fhir_server.audit", "segment": "p00/one", "hash": "00"}',
        b'{"logger": "fhir_server.audit", "segment": 1, "hash": "00"}',
    ],
)
def test_other_lines_tell_nothing(line: bytes) -> None:
    assert heard([line]) == {}


@given(st.lists(st.binary(max_size=60) | st.text(max_size=60).map(str.encode)))
def test_any_bytes_are_passed_over(lines: list[bytes]) -> None:
    assert heard(lines) == {}
