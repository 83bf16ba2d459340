"""Whoever changes the documents of a log in MongoDB is found out, group by group."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from fhir_server.audit.mongodb.shelf import MongoShelf
from fhir_server.audit.shelf import Segment
from fhir_server.audit.verify import verify
from tests.audit.hands import DocumentHands
from tests.audit.world import keys_in, read, write_in
from tests.mongo import engine as mongodb

FIRST, SECOND = Segment("p00", 1), Segment("p00", 2)

Tamper = Callable[[DocumentHands], None]


def cut_last_group(hands: DocumentHands) -> None:
    hands.place.frames.delete_one({"_id": hands.groups(FIRST)[-1]["_id"]})


def remove_group(hands: DocumentHands) -> None:
    hands.place.frames.delete_one({"_id": hands.groups(FIRST)[1]["_id"]})


def remove_all_groups(hands: DocumentHands) -> None:
    hands.place.frames.delete_many({})


def reorder_groups(hands: DocumentHands) -> None:
    one, other = hands.groups(FIRST)[1:3]
    for group, bytes_ in ((one, other["bytes"]), (other, one["bytes"])):
        hands.place.frames.update_one({"_id": group["_id"]}, {"$set": {"bytes": bytes_}})


def repeat_group(hands: DocumentHands) -> None:
    last = hands.groups(FIRST)[-1]
    end = int(last["_id"][-12:]) + len(last["bytes"])
    hands.place.frames.insert_one({"_id": f"{FIRST.name}/{end + 1:012d}", "bytes": last["bytes"]})


def change_group(hands: DocumentHands) -> None:
    group = hands.groups(FIRST)[1]
    changed = bytes([*group["bytes"][:-1], group["bytes"][-1] ^ 1])
    hands.place.frames.update_one({"_id": group["_id"]}, {"$set": {"bytes": changed}})


def replace_groups_by_those_of_the_next(hands: DocumentHands) -> None:
    for one, other in zip(hands.groups(FIRST), hands.groups(SECOND), strict=True):
        hands.place.frames.update_one({"_id": one["_id"]}, {"$set": {"bytes": other["bytes"]}})


def hide_newest_segment(hands: DocumentHands) -> None:
    hands.remove(SECOND)


TAMPERED: dict[str, tuple[Tamper, str, int | None]] = {
    "the last group cut": (cut_last_group, "p00/00000001", 3),
    "a group removed": (remove_group, "p00/00000001", 1),
    "all groups removed": (remove_all_groups, "p00/00000001", 0),
    "groups reordered": (reorder_groups, "p00/00000001", 1),
    "a group repeated at the end": (repeat_group, "p00/00000001", 4),
    "a group changed": (change_group, "p00/00000001", 1),
    "groups of another segment": (replace_groups_by_those_of_the_next, "p00/00000001", 0),
    "the newest segment hidden": (hide_newest_segment, "p00/00000002", None),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_tampering_with_documents_is_found_and_placed(tmp_path: Path, name: str) -> None:
    keys = keys_in(tmp_path)
    with mongodb.database() as address, closing(MongoShelf(address)) as shelf:
        for start in (0, 4):
            write_in(shelf, keys, [[read(start + number)] for number in range(4)])
        assert verify(shelf, keys).findings == ()
        tamper, place, entry = TAMPERED[name]
        tamper(DocumentHands(shelf))

        assert (place, entry) in {(each.place, each.entry) for each in verify(shelf, keys).findings}
