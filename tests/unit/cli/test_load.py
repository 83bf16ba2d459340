"""`fhir-server load`: everything through the one door, resumable, every refusal told."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from fhir_server.faults import Fault, Kind
from tests.unit.cli.house import House, refuse

Tree = dict[str, Any]


def patient(number: int) -> Tree:
    return {"resourceType": "Patient", "id": f"p{number}", "name": [{"text": f"示例{number}"}]}


def ndjson(*resources: Tree) -> bytes:
    return b"".join(json.dumps(resource).encode() + b"\n" for resource in resources)


def write(path: Path, content: bytes | Tree) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def transaction(*resources: Tree) -> Tree:
    entries = [
        {"resource": each, "request": {"method": "POST", "url": each["resourceType"]}} for each in resources
    ]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def ids(house: House) -> list[str]:
    return [resource["id"] for resource in house.door.stored]


def test_loads_a_single_resource_under_its_id(house: House, tmp_path: Path) -> None:
    ended = house.load(write(tmp_path / "one.json", patient(1)))

    assert ended.code == 0
    assert house.door.requests[0]["entry"] == [
        {"resource": patient(1), "request": {"method": "PUT", "url": "Patient/p1"}}
    ]
    assert house.closed == 1


def test_a_transaction_is_sent_as_it_stands(house: House, tmp_path: Path) -> None:
    bundle = transaction(patient(1), patient(2))

    house.load(write(tmp_path / "t.json", bundle))

    assert house.door.requests == [bundle]


def test_lines_are_sent_in_groups_of_a_hundred(house: House, tmp_path: Path) -> None:
    house.load(write(tmp_path / "many.ndjson", ndjson(*map(patient, range(250)))))

    assert [len(request["entry"]) for request in house.door.requests] == [100, 100, 50]
    assert len(set(ids(house))) == 250


def test_zipped_lines_are_read(house: House, tmp_path: Path) -> None:
    ended = house.load(write(tmp_path / "many.ndjson.gz", gzip.compress(ndjson(patient(1), patient(2)))))

    assert (ended.code, ids(house)) == (0, ["p1", "p2"])


def test_a_cut_zip_is_refused_and_what_came_before_is_loaded(house: House, tmp_path: Path) -> None:
    whole = gzip.compress(ndjson(*map(patient, range(300))), compresslevel=0)

    ended = house.load(write(tmp_path / "cut.ndjson.gz", whole[: len(whole) // 2]))

    assert ended.code == 1
    assert "damaged or cut short" in ended.out
    assert ids(house)


def test_a_folder_is_walked_in_order_and_other_files_are_left_alone(house: House, tmp_path: Path) -> None:
    write(tmp_path / "in/b.json", patient(2))
    write(tmp_path / "in/a/x.json", patient(1))
    write(tmp_path / "in/readme.txt", b"not FHIR")

    ended = house.load(tmp_path / "in")

    assert (ended.code, ids(house)) == (0, ["p1", "p2"])


def test_a_folder_without_anything_to_load_is_a_mistake(house: House, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    ended = house.load(tmp_path / "empty")

    assert ended.code == 1
    assert "holds no .json" in ended.err


@pytest.mark.parametrize(
    "content",
    [
        ndjson(patient(1), patient(2)),
        json.dumps(transaction(patient(1), patient(2)), indent=2).encode(),
        gzip.compress(ndjson(patient(1), patient(2))),
    ],
    ids=["lines", "pretty bundle", "zipped lines"],
)
def test_standard_input_is_recognised(house: House, content: bytes) -> None:
    ended = house.load("-", stdin=content)

    assert (ended.code, ids(house)) == (0, ["p1", "p2"])


def test_a_refusal_says_file_line_and_reason_and_stops_nothing(house: House, tmp_path: Path) -> None:
    house.door.judge = refuse("A name is needed.", when=lambda resource: resource["id"] == "p2")
    bad = write(tmp_path / "bad.ndjson", ndjson(patient(1), patient(2), patient(3)))
    good = write(tmp_path / "good.json", patient(4))

    ended = house.load(bad, good, "--report", tmp_path / "report.json")

    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert ended.code == 1
    assert "bad.ndjson, line 2 (422)" in ended.out
    assert "processing: A name is needed." in ended.out
    assert ids(house) == ["p1", "p3", "p4"]
    assert (report["loaded"], report["sources"], len(report["refused"])) == (3, 2, 1)
    assert report["refused"][0]["issues"][0]["code"] == "processing"


def test_a_refused_transaction_stores_nothing_of_it(house: House, tmp_path: Path) -> None:
    house.door.judge = refuse("A name is needed.", when=lambda resource: resource["id"] == "p2")

    ended = house.load(write(tmp_path / "t.json", transaction(patient(1), patient(2))))

    assert (ended.code, ids(house)) == (1, [])
    assert "[Patient.name]" in ended.out


def test_a_broken_line_is_refused_and_its_neighbours_are_loaded(house: House, tmp_path: Path) -> None:
    content = ndjson(patient(1)) + b'{"resourceType": \n' + ndjson(patient(3))

    ended = house.load(write(tmp_path / "x.ndjson", content))

    assert (ended.code, ids(house)) == (1, ["p1", "p3"])
    assert "line 2 (400)" in ended.out


def test_a_defect_of_the_server_is_told_without_its_message_and_stops_nothing(
    house: House, tmp_path: Path
) -> None:
    def judge(resource: Tree) -> None:
        if resource["id"] == "p1":
            raise TypeError("patient 示例1")

    house.door.judge = judge
    paths = [write(tmp_path / f"{number}.json", transaction(patient(number))) for number in (1, 2)]

    ended = house.load(*paths)

    assert (ended.code, ids(house)) == (1, ["p2"])
    assert "unexpected TypeError" in ended.out
    assert "示例1" not in ended.out + ended.err


def test_only_twenty_refusals_are_printed(house: House, tmp_path: Path) -> None:
    house.door.judge = refuse("No.", when=lambda _: True)

    ended = house.load(write(tmp_path / "x.ndjson", ndjson(*map(patient, range(30)))))

    assert ended.out.count("Refused:") == 20
    assert "and 10 more" in ended.out


def test_a_second_load_of_the_same_files_sends_nothing(house: House, tmp_path: Path) -> None:
    paths = [write(tmp_path / "a.json", patient(1)), write(tmp_path / "b.ndjson", ndjson(patient(2)))]
    house.load(*paths)
    house.door.requests.clear()

    ended = house.load(*paths)

    assert (ended.code, house.door.requests) == (0, [])
    assert "2 pieces were loaded before" in ended.out


def test_a_transaction_is_not_run_twice_when_the_end_of_its_file_was_not_noted(
    house: House, tmp_path: Path
) -> None:
    path = write(tmp_path / "t.json", transaction(patient(1)))
    house.load(path)
    journal = house.data / "load.journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-1]))

    house.load(path)

    assert ids(house) == ["p1"]


def test_again_forgets_what_was_loaded(house: House, tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", patient(1))
    house.load(path)

    house.load(path, "--again")

    assert ids(house) == ["p1", "p1"]


def test_a_file_that_changed_is_loaded_anew(house: House, tmp_path: Path) -> None:
    path = write(tmp_path / "a.ndjson", ndjson(patient(1)))
    house.load(path)
    write(path, ndjson(patient(1), patient(2)))

    house.load(path)

    assert ids(house) == ["p1", "p1", "p2"]


def test_what_was_refused_is_tried_again_and_nothing_else(house: House, tmp_path: Path) -> None:
    house.door.judge = refuse("Not yet.", when=lambda resource: resource["id"] == "p2")
    path = write(tmp_path / "a.ndjson", ndjson(patient(1), patient(2), patient(3)))
    house.load(path)
    house.door.judge = lambda _: None
    house.door.stored.clear()

    ended = house.load(path)

    assert (ended.code, ids(house)) == (0, ["p2"])


@pytest.mark.parametrize("kind", ["lines", "collection", "folder of transactions"])
def test_an_interrupted_load_goes_on_where_it_stopped(house: House, tmp_path: Path, kind: str) -> None:
    people = [patient(number) for number in range(950)]
    if kind == "lines":
        path = write(tmp_path / "a.ndjson", ndjson(*people))
    elif kind == "collection":
        entries = [{"resource": person} for person in people]
        path = write(tmp_path / "a.json", {"resourceType": "Bundle", "type": "collection", "entry": entries})
    else:
        path = tmp_path / "in"
        for number, person in enumerate(people[:12]):
            write(path / f"{number:02d}.json", transaction(person))
        people = people[:12]
    left = len(people) // 2
    full = Fault(Kind.UNAVAILABLE, "The disk is full; make room.")
    house.door.judge = lambda _: full if len(house.door.stored) >= left else None

    stopped = house.load(path)
    house.door.judge = lambda _: None
    resumed = house.load(path)

    assert stopped.code == 1
    assert "The disk is full; make room." in stopped.err
    assert resumed.code == 0
    assert sorted(ids(house)) == sorted(person["id"] for person in people), "each once, none twice"


def test_a_search_too_costly_is_a_refusal_and_no_reason_to_stop(house: House, tmp_path: Path) -> None:
    house.door.judge = refuse("Ask for less.", when=lambda each: each["id"] == "p1", kind=Kind.TOO_COSTLY)

    ended = house.load(write(tmp_path / "a.ndjson", ndjson(patient(1), patient(2))))

    assert (ended.code, ids(house)) == (1, ["p2"])
    assert "line 1 (503)" in ended.out


def test_the_journal_names_no_file_and_no_patient(house: House, tmp_path: Path) -> None:
    house.load(write(tmp_path / "张三-p1.ndjson", ndjson(patient(1))))

    journal = house.data / "load.journal"
    assert not any(word in journal.read_text(encoding="utf-8") for word in ("张三", "p1", "ndjson", "示例"))
    assert journal.stat().st_mode & 0o077 == 0


def test_the_demo_data_is_loaded_once(house: House) -> None:
    first = house.load("--demo")
    stored = len(house.door.stored)
    second = house.load("--demo")

    assert (first.code, second.code) == (0, 0)
    assert 3000 <= stored <= 6000
    assert len(house.door.stored) == stored
    assert len(house.door.requests) == 42


def test_nothing_to_load_is_misuse(house: House) -> None:
    ended = house.load()

    assert ended.code == 2
    assert "--demo" in ended.err


def test_a_file_that_is_not_there_is_misuse(house: House, tmp_path: Path) -> None:
    assert house.load(tmp_path / "absent.json").code == 2


def test_a_folder_without_keys_is_no_data_folder(bare_house: House, tmp_path: Path) -> None:
    ended = bare_house.load(write(tmp_path / "a.json", patient(1)))

    assert ended.code == 1
    assert "run init" in ended.err
    assert not bare_house.data.exists()


def test_a_bundle_of_history_is_refused_with_advice(house: House, tmp_path: Path) -> None:
    bundle = {"resourceType": "Bundle", "type": "history", "entry": []}

    ended = house.load(write(tmp_path / "h.json", bundle))

    assert ended.code == 1
    assert "cannot be loaded; load a transaction" in ended.out
