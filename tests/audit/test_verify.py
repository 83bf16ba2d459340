"""Whoever tampers with the log is found out, each way of doing it, and told of where it was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from fhir_server.audit.chain import frames
from fhir_server.audit.index import Position
from fhir_server.audit.keys import AuditKeys
from fhir_server.audit.prune import DAY_MS, prune, pruned_through
from fhir_server.audit.segment import Reading, Segment
from fhir_server.audit.verify import Finding, verify
from fhir_server.crypto.keys import KeyFault
from fhir_server.faults import Fault
from tests.audit.world import NOW, keys_in, read, write, written

Tamper = Callable[[Path], None]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Return the folder of a chain of three segments with four entries each."""
    keys_in(tmp_path)
    for start in (0, 4, 8):
        write(tmp_path, [[read(start + number)] for number in range(4)])
    return tmp_path / "audit" / "p00"


def findings(chain: Path, positions: dict[str, Position] | None = None) -> tuple[Finding, ...]:
    return verify(chain.parent, keys_in(chain.parent.parent), positions or {}).findings


def parts(path: Path) -> list[bytes]:
    """Split a segment into its header and its frames."""
    data = path.read_bytes()
    start = data.index(b"\n") + 1
    ends = [start, *(end for end, _ in frames(data, start))]
    return [data[:start], *(data[a:b] for a, b in pairwise(ends))]


def rewrite(chain: Path, number: int, change: Callable[[list[bytes]], list[bytes]]) -> None:
    path = Segment(chain, number).path
    path.write_bytes(b"".join(change(parts(path))))


def statement(chain: Path, number: int, **changes: object) -> None:
    path = Segment(chain, number).statement_path
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **changes}))


def swap(one: Path, other: Path) -> None:
    between = one.with_suffix(".between")
    one.rename(between)
    other.rename(one)
    between.rename(other)


def remove(chain: Path, number: int) -> None:
    Segment(chain, number).path.unlink()
    Segment(chain, number).statement_path.unlink()


def swap_segments(chain: Path) -> None:
    for suffix in (".seg", ".json"):
        swap(chain / f"00000001{suffix}", chain / f"00000002{suffix}")


def flip(frame: bytes) -> bytes:
    return frame[:-1] + bytes([frame[-1] ^ 1])


TAMPERED: dict[str, tuple[Tamper, str, int | None]] = {
    "an entry changed": (
        lambda chain: rewrite(chain, 2, lambda p: [*p[:2], flip(p[2]), *p[3:]]), "p00/00000002", 1,
    ),
    "an entry removed": (lambda chain: rewrite(chain, 2, lambda p: [*p[:2], *p[3:]]), "p00/00000002", 1),
    "an entry put in twice": (lambda chain: rewrite(chain, 2, lambda p: [*p[:3], *p[2:]]), "p00/00000002", 2),
    "entries reordered": (
        lambda chain: rewrite(chain, 2, lambda p: [*p[:2], p[3], p[2], p[4]]), "p00/00000002", 1,
    ),
    "the tail cut": (lambda chain: rewrite(chain, 3, lambda p: p[:-1]), "p00/00000003", 3),
    "the tail cut within an entry": (
        lambda chain: rewrite(chain, 3, lambda p: [*p[:-1], p[-1][:9]]), "p00/00000003", 3,
    ),
    "bytes added": (
        lambda chain: rewrite(chain, 2, lambda p: [*p, bytes(9)]), "p00/00000002", None,
    ),
    "a segment missing": (lambda chain: remove(chain, 2), "p00/00000002", None),
    "the entries of a segment missing": (
        lambda chain: Segment(chain, 2).path.unlink(), "p00/00000002", None,
    ),
    "the newest segment missing": (lambda chain: remove(chain, 3), "p00/00000003", None),
    "segments swapped": (swap_segments, "p00/00000001", None),
    "the entries of two segments swapped": (
        lambda chain: swap(Segment(chain, 1).path, Segment(chain, 2).path), "p00/00000001", None,
    ),
    "a statement changed": (lambda chain: statement(chain, 1, count=3), "p00/00000001", None),
    "a statement missing": (
        lambda chain: Segment(chain, 1).statement_path.unlink(), "p00/00000001", None,
    ),
    "a statement that is none": (
        lambda chain: Segment(chain, 1).statement_path.write_text("{}"), "p00/00000001", None,
    ),
    "a header that is none": (
        lambda chain: Segment(chain, 1).path.write_bytes(b"{}\n"), "p00/00000001", None,
    ),
    "the whole chain missing": (shutil.rmtree, "p00", None),
}  # fmt: skip


@pytest.mark.parametrize("name", TAMPERED)
def test_tampering_is_found_and_placed(log: Path, name: str) -> None:
    tamper, place, entry = TAMPERED[name]
    tamper(log)

    found = findings(log)

    assert (place, entry) in {(each.place, each.entry) for each in found}, found
    assert all(each.words.endswith(".") for each in found)


def test_a_log_that_nobody_touched_is_sound(log: Path) -> None:
    report = verify(log.parent, keys_in(log.parent.parent), {})

    assert (report.findings, report.segments, report.entries) == ((), 3, 12)


def test_a_cut_tail_of_the_open_segment_is_remembered_by_the_index(log: Path) -> None:
    keys = keys_in(log.parent.parent)
    reading = Reading.begin(keys, Segment(log, 3).path.read_bytes())
    list(reading.entries())
    remembered = {"p00": Position(3, reading.offset, 4, reading.chain.last.hex())}
    Segment(log, 3).statement_path.unlink()
    assert findings(log, remembered) == ()

    rewrite(log, 3, lambda p: p[:-1])

    assert "the index remembers" in str(findings(log, remembered)[0])


def test_statements_of_another_key_are_found(log: Path) -> None:
    (log.parent.parent / "keys/audit/signing.pem").unlink()

    assert {each.words for each in findings(log)} >= {
        "its statement is not signed by this audit's key, or was changed."
    }


def test_a_log_without_its_keys_does_not_open_with_new_ones(log: Path) -> None:
    keys = log.parent.parent / "keys"
    shutil.rmtree(keys / "audit")

    with pytest.raises(KeyFault):
        AuditKeys.open(keys, "standard", may_create=False)


def test_pruning_removes_old_segments_and_the_rest_still_follows(log: Path) -> None:
    keys = keys_in(log.parent.parent)
    write(log.parent.parent, [[read(1, at=NOW + 200 * DAY_MS)]])
    names = prune(log.parent, keys, 180, NOW + 190 * DAY_MS)

    assert names == ["p00/00000001", "p00/00000002", "p00/00000003"]
    assert [entry.at for entry in written(log.parent.parent)] == [NOW + 200 * DAY_MS + 1]
    assert findings(log) == ()


def test_pruning_less_than_the_law_allows_is_refused(log: Path) -> None:
    with pytest.raises(Fault, match="180 days"):
        prune(log.parent, keys_in(log.parent.parent), 179, NOW)


def test_a_note_of_pruning_that_nobody_signed_excuses_nothing(log: Path) -> None:
    (log / "pruned.json").write_text('{"chain":"p00","through":3,"at":1,"days":180,"signature":""}')
    Segment(log, 2).path.unlink()

    assert pruned_through(log, keys_in(log.parent.parent)) == 0
    assert findings(log)
