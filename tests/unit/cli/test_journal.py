"""The journal of a load: exact, durable line by line, and not confused by a torn line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.cli.loading.journal import NAME, Journal, Ranges

SPANS = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 12)), max_size=20)


@given(SPANS)
def test_ranges_hold_exactly_what_was_added(spans: list[tuple[int, int]]) -> None:
    ranges, plain = Ranges(), set[int]()
    for first, more in spans:
        ranges.add(first, first + more)
        plain |= set(range(first, first + more + 1))

    assert {number for number in range(80) if number in ranges} == plain
    assert len(ranges) == len(plain)


def test_neighbouring_ranges_become_one() -> None:
    ranges = Ranges()
    for first in range(1, 1001, 10):
        ranges.add(first, first + 9)

    assert ranges._starts == [1]
    assert ranges._ends == [1000]


@given(SPANS, st.integers(0, 400))
def test_a_journal_cut_anywhere_never_claims_what_was_not_recorded(
    tmp_path_factory: pytest.TempPathFactory, spans: list[tuple[int, int]], cut: int
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    plain = set[int]()
    with Journal(folder) as journal:
        for first, more in spans:
            journal.record("a", first, first + more)
            plain |= set(range(first, first + more + 1))
    whole = (folder / NAME).read_bytes()
    (folder / NAME).write_bytes(whole[: len(whole) - cut] if cut else whole)

    with Journal(folder) as journal:
        told = {number for number in range(80) if number in journal.done("a")}
        assert told <= plain
        assert cut or told == plain
        journal.record("a", 70, 70)

    with Journal(folder) as journal:
        assert 70 in journal.done("a"), "a line after a torn one is read"


def test_sources_are_kept_apart(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.record("a", 1, 3)
        journal.record_whole("b")

    with Journal(tmp_path) as journal:
        assert 2 in journal.done("a")
        assert 2 not in journal.done("b")
        assert journal.is_whole("b")
        assert not journal.is_whole("a")


def test_again_forgets_all(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.record("a", 1, 3)

    with Journal(tmp_path, again=True) as journal:
        assert 1 not in journal.done("a")
