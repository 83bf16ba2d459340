"""The log in MongoDB: no fork whoever believes to own a chain, no success that is none."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from pymongo import monitoring

from fhir_server.audit.log import Log
from fhir_server.audit.mongodb import hold as holds
from fhir_server.audit.mongodb.hold import MongoHold
from fhir_server.audit.mongodb.shelf import MongoShelf
from fhir_server.audit.opening import refuse_other_keys
from fhir_server.audit.shelf import Lost, Segment
from fhir_server.audit.verify import verify
from fhir_server.audit.writer import Options, Writer
from fhir_server.crypto.keys import KeyFault
from fhir_server.faults import Fault, Kind
from tests.audit.hands import DocumentHands, content
from tests.audit.world import files_in, keys_in, read, write_in, written_in
from tests.mongo import engine as mongodb

FIRST, SECOND = Segment("p00", 1), Segment("p00", 2)
HEADER = b"header\n"


@pytest.fixture
def address() -> Iterator[str]:
    with mongodb.database() as made:
        yield made


@pytest.fixture
def shelf(address: str) -> Iterator[MongoShelf]:
    with closing(MongoShelf(address)) as made:
        yield made


def lapse(shelf: MongoShelf, name: str) -> None:
    """Have a lease run out, as it does while its owner is paused."""
    shelf.place.leases.update_one({"_id": name}, {"$set": {"until": 0}})


def taken_over(shelf: MongoShelf) -> tuple[MongoHold, MongoHold]:
    """Return the former owner of a chain, with a segment open, and the owner that followed it."""
    former = shelf.take()
    former.begin(FIRST, HEADER)
    former.append(b"one", len(HEADER))
    lapse(shelf, former.chain)
    owner = shelf.take()
    assert owner.chain == former.chain == "p00"
    return former, owner


class Counting(monitoring.CommandListener):
    """Notes the names of commands, and what they do to which collection."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.deeds: set[tuple[str, str]] = set()
        monitoring.register(self)

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self.names.append(event.command_name)
        self.deeds.add((event.command_name, str(event.command[event.command_name])))

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Note nothing."""

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Note nothing."""


async def test_a_group_is_one_insert_that_a_majority_acknowledges(tmp_path: Path, address: str) -> None:
    counting = Counting()
    with closing(MongoShelf(address)) as shelf:
        log = Log.open(shelf, keys_in(tmp_path))
        await log.append([read(0)])
        counting.names.clear()
        for number in range(1, 6):
            await asyncio.gather(*(log.append([read(10 * number + n)]) for n in range(5)))
        commands = counting.names[:]
        await log.close()

        assert commands == ["insert"] * 5
        assert shelf.place.frames.write_concern.document == {"w": "majority", "j": True}
        assert len(DocumentHands(shelf).groups(FIRST)) == 6


def test_serving_needs_no_right_to_change_or_remove_a_group(tmp_path: Path, address: str) -> None:
    counting, keys = Counting(), keys_in(tmp_path)
    with closing(MongoShelf(address)) as shelf:
        write_in(shelf, keys, [[read(number)] for number in range(4)], segment_bytes=600)
        write_in(shelf, keys, [[read(5)]])
        assert len(written_in(shelf, keys)) == 5

    done = {deed for deed, collection in counting.deeds if collection == "audit_frames"}
    assert done <= {"createIndexes", "insert", "find", "getMore"}
    assert len(done) > 2


def test_who_lost_a_chain_can_neither_begin_nor_end_nor_close_there(shelf: MongoShelf) -> None:
    former, owner = taken_over(shelf)
    deeds: list[Callable[[], object]] = [
        former.confirm,
        lambda: former.begin(SECOND, HEADER),
        lambda: former.end(FIRST, 10, 10),
        lambda: former.close(FIRST, b"{}", "00"),
    ]
    for deed in deeds:
        with pytest.raises(Lost):
            deed()

    assert shelf.segments("p00") == [FIRST]
    assert shelf.statement(FIRST) is None
    assert shelf.heads() == {}
    owner.confirm()
    owner.release()


def test_who_lost_a_chain_cannot_append_once_the_next_owner_has_ended_its_segment(shelf: MongoShelf) -> None:
    former, owner = taken_over(shelf)
    former.append(b"two", len(HEADER) + 3)
    assert not owner.end(FIRST, len(HEADER) + 3, len(HEADER) + 3)
    assert owner.end(FIRST, len(HEADER) + 6, len(HEADER) + 6)
    with pytest.raises(Lost):
        former.append(b"three", len(HEADER) + 6)

    assert shelf.content(FIRST) == HEADER + b"onetwo"
    assert owner.end(FIRST, len(HEADER) + 6, len(HEADER) + 6)
    owner.release()


def test_two_groups_cannot_stand_at_one_place(shelf: MongoShelf) -> None:
    hold = shelf.take()
    hold.begin(FIRST, HEADER)
    hold.append(b"one", len(HEADER))
    with pytest.raises(Lost):
        hold.append(b"other", len(HEADER))

    assert shelf.content(FIRST) == HEADER + b"one"
    hold.release()


def test_a_segment_is_begun_once(shelf: MongoShelf) -> None:
    hold = shelf.take()
    hold.begin(FIRST, HEADER)
    with pytest.raises(OSError, match=FIRST.name):
        hold.begin(FIRST, b"another\n")

    assert shelf.header(FIRST) == HEADER
    hold.release()


class Raced(MongoShelf):
    """A log in which something happens between the reading of a segment and its end."""

    def __init__(self, address: str, happens: Callable[[], object]) -> None:
        super().__init__(address)
        self._happens: list[Callable[[], object]] = [happens]

    def content(self, segment: Segment, start: int = 0) -> bytes | None:
        found = super().content(segment, start)
        while self._happens:
            self._happens.pop()()
        return found


def test_a_group_that_comes_while_its_owner_is_followed_is_kept_and_counts(
    tmp_path: Path, address: str, shelf: MongoShelf
) -> None:
    keys, done = keys_in(tmp_path), []
    former = Writer.open(shelf, keys, Options())
    assert former.write([read(1)])
    lapse(shelf, "p00")
    with closing(Raced(address, lambda: done.append(former.write([read(2)])))) as raced:
        owner = Writer.open(raced, keys, Options())
        assert done == [True]
        assert owner.write([read(3)])
        assert not former.write([read(4)])
        owner.close()
    former.close()

    assert written_in(shelf, keys) == [read(1), read(2), read(3)]
    assert verify(shelf, keys).findings == ()


def test_a_segment_that_never_stops_growing_is_given_up_with_a_sentence(
    tmp_path: Path, shelf: MongoShelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = keys_in(tmp_path)
    former = Writer.open(shelf, keys, Options())
    assert former.write([read(1)])
    lapse(shelf, "p00")
    monkeypatch.setattr("fhir_server.audit.recover._PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(MongoHold, "end", lambda *_: False)
    with pytest.raises(Fault, match="by another process") as refused:
        Writer.open(shelf, keys, Options())

    assert refused.value.kind is Kind.UNAVAILABLE
    assert shelf.is_free("p00")


def test_a_lease_that_was_given_free_is_not_the_former_owners_any_more(shelf: MongoShelf) -> None:
    former = shelf.take()
    former.release()
    owner = shelf.take()
    assert owner.chain == "p00"
    with pytest.raises(Lost):
        former.confirm()
    former.release()

    assert not shelf.is_free("p00")
    owner.release()
    assert shelf.is_free("p00")


def test_a_process_that_has_written_nothing_yet_holds_its_chain_all_the_same(shelf: MongoShelf) -> None:
    assert shelf.is_idle()
    hold = shelf.take()
    assert shelf.chains() == []
    assert not shelf.is_idle()
    hold.release()
    assert shelf.is_idle()


async def test_a_log_that_lost_its_chain_refuses_one_group_and_goes_on_in_another_chain(
    tmp_path: Path, shelf: MongoShelf, caplog: pytest.LogCaptureFixture
) -> None:
    keys = keys_in(tmp_path)
    paused = Log.open(shelf, keys)
    await paused.append([read(1)])
    lapse(shelf, "p00")
    other = Log.open(shelf, keys)
    await other.append([read(2)])
    with pytest.raises(Fault) as refused:
        await paused.append([read(3)])
    await paused.append([read(4)])

    assert refused.value.kind is Kind.UNAVAILABLE
    assert (other.chain, paused.chain) == ("p00", "p01")
    await paused.close()
    await other.close()
    assert written_in(shelf, keys) == [read(1), read(2), read(4)]
    assert verify(shelf, keys).findings == ()
    assert "was lost to another process" in caplog.text


def test_a_lease_is_not_renewed_for_a_shelf_that_was_closed(address: str) -> None:
    with closing(MongoShelf(address, lease_seconds=0.3)) as shelf:
        shelf.take()
        mine = [each for each in threading.enumerate() if each.name.startswith("audit-lease-")]
        assert any(each.is_alive() for each in mine)

    for each in mine:
        each.join(10)
    assert not any(each.is_alive() for each in mine)


async def test_the_turn_to_index_is_lost_with_its_lease(address: str) -> None:
    with closing(MongoShelf(address, lease_seconds=0.3)) as shelf:
        former, next_one = shelf.turn(), shelf.turn()
        assert former.acquire()
        assert not next_one.acquire()
        # It may be renewed at this moment: then it runs out, and is taken, a little later.
        while not next_one.acquire():
            lapse(shelf, "index")
        await asyncio.sleep(0.4)

        assert (former.is_mine(), next_one.is_mine()) == (False, True)
        former.release()
        assert next_one.is_mine()
        next_one.release()


async def test_a_process_that_lives_keeps_its_chain_for_longer_than_a_lease(
    tmp_path: Path, address: str
) -> None:
    with closing(MongoShelf(address, lease_seconds=1.0)) as shelf:
        log = Log.open(shelf, keys_in(tmp_path))
        await asyncio.sleep(1.6)

        assert not shelf.is_free("p00")
        await log.close()


def test_a_group_too_long_for_one_document_is_several(
    tmp_path: Path, shelf: MongoShelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holds, "PIECE_BYTES", 100)
    keys = keys_in(tmp_path)
    write_in(shelf, keys, [[read(1), read(2)], [read(3)]])

    assert written_in(shelf, keys) == [read(1), read(2), read(3)]
    assert verify(shelf, keys).findings == ()
    assert {len(group["bytes"]) > 100 for group in DocumentHands(shelf).groups(FIRST)} == {False}


def test_what_a_crash_left_of_a_long_group_is_set_aside_loudly_and_the_rest_is_kept(
    tmp_path: Path, shelf: MongoShelf, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(holds, "PIECE_BYTES", 100)
    keys, hands = keys_in(tmp_path), DocumentHands(shelf)
    write_in(shelf, keys, [[read(1)], [read(2), read(3)]])
    hands.set_statement(FIRST, None)
    shelf.place.frames.delete_one({"_id": hands.groups(FIRST)[-1]["_id"]})
    shelf.place.frames.delete_many({"end": True})
    torn = len(content(shelf, FIRST))

    write_in(shelf, keys, [[read(4)]])

    assert written_in(shelf, keys) == [read(1), read(2), read(4)]
    dropped = torn - len(content(shelf, FIRST))
    (finding,) = verify(shelf, keys).findings
    assert f"{dropped} unreadable bytes; look at p00/00000001 in audit_torn" in finding.words
    assert sum(len(each["bytes"]) for each in shelf.place.torn.find()) == dropped > 0
    assert "set aside" in caplog.text


def test_nothing_of_an_entry_can_be_read_from_the_documents(tmp_path: Path, shelf: MongoShelf) -> None:
    write_in(shelf, keys_in(tmp_path), [[read(1, patient="planted-patient")]])

    documents = [
        each for name in shelf.place.db.list_collection_names() for each in shelf.place.db[name].find()
    ]
    assert len(documents) > 4
    assert "planted" not in repr(documents)


def test_the_key_folder_is_not_written_to_once_the_keys_are_there(tmp_path: Path, shelf: MongoShelf) -> None:
    keys_in(tmp_path)
    files = [*(tmp_path / "keys/audit").iterdir()]
    before = {path.name: path.stat().st_mtime_ns for path in files if path.name != "audit.lock"}
    for path in files:
        if path.name not in before:
            path.unlink()
    write_in(shelf, keys_in(tmp_path), [[read(1)]])

    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "keys/audit").iterdir()} == before
    assert shelf.heads()["p00"][0] == 1


def test_a_log_knows_the_first_key_that_it_was_signed_with(tmp_path: Path, shelf: MongoShelf) -> None:
    assert shelf.known_key("one") == "one"
    assert shelf.known_key("other") == "one"
    assert files_in(tmp_path).known_key("other") == "other"


def test_a_process_with_other_keys_is_refused(tmp_path: Path, shelf: MongoShelf) -> None:
    own, other = keys_in(tmp_path / "own"), keys_in(tmp_path / "other")
    refuse_other_keys(shelf, own)
    refuse_other_keys(shelf, own)

    with pytest.raises(KeyFault, match="another key"):
        refuse_other_keys(shelf, other)


def test_an_address_that_cannot_be_read_is_one_sentence() -> None:
    with pytest.raises(Fault, match="FHIR_STORE"):
        MongoShelf("mongodb://user:p@ss@host:port/")


def test_a_database_that_does_not_answer_is_one_sentence_without_its_address() -> None:
    nobody = f"mongodb://user:planted@127.0.0.1:{mongodb.free_port()}/log"
    with closing(MongoShelf(nobody, seconds=0.3)) as shelf, pytest.raises(Fault) as refused:
        shelf.take()

    assert refused.value.kind is Kind.UNAVAILABLE
    assert ("Retry-After", "5") in refused.value.headers
    assert "planted" not in refused.value.diagnostics
