"""Whoever tampers with the log is found out, each way of doing it, and told of where it was."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fhir_server.audit.keys import AuditKeys
from fhir_server.audit.prune import DAY_MS, prune, pruned_through
from fhir_server.audit.segment import Reading
from fhir_server.audit.shelf import Position, Segment
from fhir_server.audit.verify import Finding, verify
from fhir_server.crypto.keys import KeyFault
from fhir_server.faults import Fault
from tests.audit.hands import (
    Hands,
    alter_statement,
    content,
    flip,
    hands_on,
    rewrite,
    swap_entries,
    swap_segments,
    swap_statements,
)
from tests.audit.world import NOW, duplicate, keys_in, read, shelf_in, write, write_in, written

pytestmark = pytest.mark.every_engine

Tamper = Callable[[Hands], None]


@pytest.fixture(scope="module")
def sound(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a chain of three segments with four entries each, one by one."""
    folder = tmp_path_factory.mktemp(f"sound-{engine}")
    keys = keys_in(folder)
    with closing(shelf_in(folder)) as shelf:
        for start in (0, 4, 8):
            write_in(shelf, keys, [[read(start + number)] for number in range(4)])
    return folder


@pytest.fixture
def log(sound: Path, tmp_path: Path) -> Iterator[Hands]:
    """Give the hands on a copy of the chain."""
    duplicate(sound, tmp_path)
    with closing(shelf_in(tmp_path)) as shelf:
        yield hands_on(shelf, tmp_path / "audit")


def findings(log: Hands, folder: Path) -> tuple[Finding, ...]:
    return verify(log.shelf, keys_in(folder)).findings


TAMPERED: dict[str, tuple[Tamper, str, int | None]] = {
    "an entry changed": (
        lambda log: rewrite(log, 2, lambda p: [*p[:2], flip(p[2]), *p[3:]]), "p00/00000002", 1,
    ),
    "an entry removed": (lambda log: rewrite(log, 2, lambda p: [*p[:2], *p[3:]]), "p00/00000002", 1),
    "an entry put in twice": (lambda log: rewrite(log, 2, lambda p: [*p[:3], *p[2:]]), "p00/00000002", 2),
    "entries reordered": (
        lambda log: rewrite(log, 2, lambda p: [*p[:2], p[3], p[2], p[4]]), "p00/00000002", 1,
    ),
    "the tail cut": (lambda log: rewrite(log, 3, lambda p: p[:-1]), "p00/00000003", 3),
    "the tail cut within an entry": (
        lambda log: rewrite(log, 3, lambda p: [*p[:-1], p[-1][:9]]), "p00/00000003", 3,
    ),
    "bytes added": (
        lambda log: rewrite(log, 2, lambda p: [*p, bytes(9)]), "p00/00000002", None,
    ),
    "a segment missing": (lambda log: log.remove(Segment("p00", 2)), "p00/00000002", None),
    "the entries of a segment missing": (
        lambda log: log.remove_entries(Segment("p00", 2)), "p00/00000002", None,
    ),
    "the newest segment missing": (lambda log: log.remove(Segment("p00", 3)), "p00/00000003", None),
    "segments swapped": (swap_segments, "p00/00000001", None),
    "the entries of two segments swapped": (
        swap_entries, "p00/00000001", None,
    ),
    "two statements swapped": (swap_statements, "p00/00000001", None),
    "a statement changed": (lambda log: alter_statement(log, 1, count=3), "p00/00000001", None),
    "a statement missing": (
        lambda log: log.set_statement(Segment("p00", 1), None), "p00/00000001", None,
    ),
    "a statement that is none": (
        lambda log: log.set_statement(Segment("p00", 1), b"{}"), "p00/00000001", None,
    ),
    "a header that is none": (
        lambda log: log.write(Segment("p00", 1), b"{}\n"), "p00/00000001", None,
    ),
    "the whole chain missing": (lambda log: log.remove_chain("p00"), "p00", None),
}  # fmt: skip


@pytest.mark.parametrize("name", TAMPERED)
def test_tampering_is_found_and_placed(log: Hands, tmp_path: Path, name: str) -> None:
    tamper, place, entry = TAMPERED[name]
    tamper(log)

    found = findings(log, tmp_path)

    assert (place, entry) in {(each.place, each.entry) for each in found}, found
    assert all(each.words.endswith(".") for each in found)


def test_a_log_that_nobody_touched_is_sound(log: Hands, tmp_path: Path) -> None:
    report = verify(log.shelf, keys_in(tmp_path))

    assert (report.findings, report.segments, report.entries) == ((), 3, 12)


def test_a_cut_tail_of_the_open_segment_is_remembered_by_the_index(log: Hands, tmp_path: Path) -> None:
    open_one = Segment("p00", 3)
    reading = Reading.begin(keys_in(tmp_path), content(log.shelf, open_one))
    list(reading.entries())
    turn = log.shelf.turn()
    assert turn.acquire()
    log.shelf.keep("p00", Position(3, reading.offset, 4, reading.chain.last.hex()))
    turn.release()
    log.set_statement(open_one, None)
    assert findings(log, tmp_path) == ()

    rewrite(log, 3, lambda p: p[:-1])

    assert "the index remembers" in str(findings(log, tmp_path)[0])


def test_statements_of_another_key_are_found(log: Hands, tmp_path: Path) -> None:
    (tmp_path / "keys/audit/signing.pem").unlink()

    assert {each.words for each in findings(log, tmp_path)} >= {
        "its statement is not signed by this audit's key, or was changed."
    }


def test_a_log_without_its_keys_does_not_open_with_new_ones(log: Hands, tmp_path: Path) -> None:
    assert log.shelf.chains()
    keys = tmp_path / "keys"
    shutil.rmtree(keys / "audit")

    with pytest.raises(KeyFault):
        AuditKeys.open(keys, "standard", may_create=False)


def test_pruning_removes_old_segments_and_the_rest_still_follows(log: Hands, tmp_path: Path) -> None:
    keys = keys_in(tmp_path)
    write(tmp_path, [[read(1, at=NOW + 200 * DAY_MS)]])
    names = prune(log.shelf, keys, 180, NOW + 190 * DAY_MS)

    assert names == ["p00/00000001", "p00/00000002", "p00/00000003"]
    assert [entry.at for entry in written(tmp_path)] == [NOW + 200 * DAY_MS + 1]
    assert findings(log, tmp_path) == ()


def test_pruning_less_than_the_law_allows_is_refused(log: Hands, tmp_path: Path) -> None:
    with pytest.raises(Fault, match="180 days"):
        prune(log.shelf, keys_in(tmp_path), 179, NOW)


def test_pruning_while_a_process_holds_a_chain_is_refused(log: Hands, tmp_path: Path) -> None:
    hold = log.shelf.take()
    assert not log.shelf.is_idle()
    with pytest.raises(Fault, match="stop it"):
        prune(log.shelf, keys_in(tmp_path), 180, NOW + 1000 * DAY_MS)
    hold.release()

    assert log.shelf.is_idle()
    assert len(written(tmp_path)) == 12


def test_a_note_of_pruning_that_nobody_signed_excuses_nothing(log: Hands, tmp_path: Path) -> None:
    log.set_note("p00", b'{"chain":"p00","through":3,"at":1,"days":180,"signature":""}')
    log.remove_entries(Segment("p00", 2))

    assert pruned_through(log.shelf, "p00", keys_in(tmp_path)) == 0
    assert findings(log, tmp_path)
