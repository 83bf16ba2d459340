"""A log in folders is taken over into MongoDB: byte for byte, once, and no other log is touched by it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fhir_server.audit.files import FileShelf
from fhir_server.audit.keys import AuditKeys
from fhir_server.audit.mongodb.shelf import MongoShelf
from fhir_server.audit.moving import take_over
from fhir_server.audit.prune import DAY_MS, prune
from fhir_server.audit.shelf import Segment
from fhir_server.audit.verify import verify
from fhir_server.audit.writer import Options, Writer
from fhir_server.cli import main
from fhir_server.faults import Fault, Kind
from tests.audit.hands import DocumentHands, rewrite
from tests.audit.world import NOW, files_in, keys_in, read, write_in, written_in
from tests.mongo import engine as mongodb

FIRST = Segment("p00", 1)


@pytest.fixture
def address() -> Iterator[str]:
    with mongodb.database() as made:
        yield made


@pytest.fixture
def new(address: str) -> Iterator[MongoShelf]:
    with closing(MongoShelf(address)) as made:
        yield made


@pytest.fixture
def keys(tmp_path: Path) -> AuditKeys:
    return keys_in(tmp_path)


@pytest.fixture
def old(tmp_path: Path, keys: AuditKeys) -> FileShelf:
    """Make a log of two chains: one of three segments, the first pruned; one that a crash left open."""
    shelf = files_in(tmp_path)
    held = shelf.take()
    left = Writer.open(shelf, keys, Options())
    assert left.chain == "p01"
    assert left.write([read(7)])
    left._hold.release()
    held.release()
    for start, at in ((0, NOW), (1, NOW + 300 * DAY_MS), (2, NOW + 300 * DAY_MS)):
        write_in(shelf, keys, [[read(start, at=at)]])
    assert prune(shelf, keys, 180, NOW + 300 * DAY_MS) == ["p00/00000001"]
    return shelf


def test_a_log_is_taken_over_as_it_is_and_goes_on(old: FileShelf, new: MongoShelf, keys: AuditKeys) -> None:
    before = verify(old, keys)
    taken = list(take_over(old, new))

    assert [each.name for each in taken] == [*(f"p00/0000000{n}" for n in (1, 2, 3)), "p01/00000001"]
    assert written_in(new, keys) == written_in(old, keys)
    assert new.heads() == old.heads()
    after = verify(new, keys)
    assert after.findings == before.findings == ()
    assert (after.segments, after.entries) == (before.segments, before.entries) == (3, 3)
    held = new.take()
    write_in(new, keys, [[read(8)]])
    held.release()
    write_in(new, keys, [[read(9)]])
    assert len(written_in(new, keys)) == 5
    assert verify(new, keys).findings == ()
    assert new.statement(Segment("p01", 1)) is not None


def test_what_was_stopped_goes_on_and_what_is_there_is_not_taken_twice(
    old: FileShelf, new: MongoShelf, keys: AuditKeys
) -> None:
    taking = take_over(old, new)
    assert next(taking) == FIRST
    taking.close()
    # Groups of a segment that was stopped within: they are not seen, and made anew.
    new.place.frames.insert_one({"_id": "p00/00000002/000000000009", "bytes": b"half"})

    assert [each.number for each in take_over(old, new)] == [2, 3, 1]
    assert list(take_over(old, new)) == []
    assert written_in(new, keys) == written_in(old, keys)
    assert verify(new, keys).findings == ()


def test_what_was_tampered_with_before_is_found_after(
    old: FileShelf, new: MongoShelf, keys: AuditKeys
) -> None:
    path = old.path(Segment("p00", 2))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    list(take_over(old, new))

    assert [(each.place, each.entry) for each in verify(new, keys).findings] == [("p00/00000002", 0)]


def test_a_log_that_is_written_to_is_not_taken_over(old: FileShelf, new: MongoShelf) -> None:
    for shelf in (old, new):
        held = shelf.take()
        with pytest.raises(Fault, match="stop it first") as refused:
            list(take_over(old, new))
        held.release()
        assert refused.value.kind is Kind.CONFLICT

    assert new.chains() == []


def test_another_log_in_the_database_is_not_mixed_with_it(
    old: FileShelf, new: MongoShelf, keys: AuditKeys
) -> None:
    write_in(new, keys, [[read(5)]])
    with pytest.raises(Fault, match="of its own already"):
        list(take_over(old, new))

    assert written_in(new, keys) == [read(5)]
    rewrite(DocumentHands(new), 1, lambda parts: parts)
    assert verify(new, keys).findings == ()


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, address: str, *words: str) -> int:
    monkeypatch.setenv("FHIR_STORE", address)
    monkeypatch.setattr("sys.argv", ["fhir-server", "audit", *words, "--data", str(folder)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return int(stopped.value.code or 0)


def test_the_command_takes_a_log_over_into_the_database_that_is_named(
    tmp_path: Path,
    old: FileShelf,
    address: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert old.chains()
    assert run(monkeypatch, tmp_path, "", "take-over") == 1
    assert "FHIR_STORE" in capfd.readouterr().err
    assert run(monkeypatch, tmp_path, address, "take-over") == 0
    assert "Took over 4 segments" in capfd.readouterr().out
    assert run(monkeypatch, tmp_path, address, "verify") == 0
    assert "3 entries in 3 segments" in capfd.readouterr().out
