"""The key ring: private, whole after a crash, rotated without a restart, refused when it is not right."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from fhir_server.crypto.keys import KeyFault, KeyRing


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    KeyRing.create(tmp_path / "keys", "standard")
    return tmp_path / "keys"


def test_creates_a_private_ring_with_one_key(folder: Path) -> None:
    ring = KeyRing.load(folder)

    assert (ring.suite.name, ring.numbers, ring.active) == ("standard", (1,), 1)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    assert ring.findings() == []


def test_closes_a_folder_that_was_open_to_others(tmp_path: Path) -> None:
    open_folder = tmp_path / "keys"
    open_folder.mkdir(mode=0o755)

    ring = KeyRing.create(open_folder, "guomi")

    assert ring.findings() == []
    assert len(ring.data_key(1) or b"") == 16


def test_says_when_others_can_read_it(folder: Path) -> None:
    (folder / "ring.json").chmod(0o644)
    folder.chmod(0o755)

    assert len(KeyRing.load(folder).findings()) == 2


def test_never_overwrites_a_ring(folder: Path) -> None:
    before = (folder / "ring.json").read_bytes()

    with pytest.raises(KeyFault, match="not overwritten"):
        KeyRing.create(folder, "standard")

    assert (folder / "ring.json").read_bytes() == before


def test_two_rings_share_no_key(folder: Path, tmp_path: Path) -> None:
    one, two = KeyRing.load(folder), KeyRing.create(tmp_path / "two", "standard")

    assert one.index_key != two.index_key
    assert one.data_key(1) != two.data_key(1)
    assert one.index_key != one.data_key(1)


def test_refuses_an_unknown_suite(tmp_path: Path) -> None:
    with pytest.raises(KeyFault, match="guomi, standard"):
        KeyRing.create(tmp_path / "keys", "rot13")


def test_says_that_there_is_no_ring(tmp_path: Path) -> None:
    with pytest.raises(KeyFault, match="no key ring"):
        KeyRing.load(tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda ring: ring | {"active": 7},
        lambda ring: ring | {"data": {"1": "AAAA"}},
        lambda ring: ring | {"data": {"one": ring["index"]}},
        lambda ring: ring | {"index": "not base64!"},
        lambda ring: ring | {"suite": "rot13"},
        lambda _: {},
        lambda _: [],
    ],
)
def test_refuses_a_damaged_ring_without_quoting_it(folder: Path, damage: object) -> None:
    content = json.loads((folder / "ring.json").read_text())
    (folder / "ring.json").write_text(json.dumps(damage(content)))  # type: ignore[operator]

    with pytest.raises(KeyFault, match="damaged") as fault:
        KeyRing.load(folder)

    assert content["index"] not in str(fault.value)


def test_refuses_bytes_that_are_no_ring_and_rings_of_the_future(folder: Path) -> None:
    content = json.loads((folder / "ring.json").read_text())
    (folder / "ring.json").write_text(json.dumps(content | {"format": 2}))
    with pytest.raises(KeyFault, match="newer version"):
        KeyRing.load(folder)
    (folder / "ring.json").write_bytes(b"\xff\xfe")
    with pytest.raises(KeyFault, match="cannot be read"):
        KeyRing.load(folder)


def test_rotation_keeps_the_old_key_and_is_noticed_by_other_holders(folder: Path) -> None:
    first, second = KeyRing.load(folder), KeyRing.load(folder)
    old = first.data_key(1)

    assert first.rotate() == 2
    assert second.active == 1
    assert second.refresh()
    assert not second.refresh()

    assert (second.active, second.numbers, second.data_key(1)) == (2, (1, 2), old)
    assert second.index_key == first.index_key
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}


def test_concurrent_holders_rotate_without_losing_a_key(folder: Path) -> None:
    one, two = KeyRing.load(folder), KeyRing.load(folder)

    assert [one.rotate(), two.rotate(), one.rotate()] == [2, 3, 4]
    assert KeyRing.load(folder).numbers == (1, 2, 3, 4)


def test_retires_neither_the_active_key_nor_one_in_use(folder: Path) -> None:
    ring = KeyRing.load(folder)
    ring.rotate()
    ring.rotate()

    assert ring.retire(in_use={2}) == (1,)
    assert ring.numbers == (2, 3)
    assert ring.retire(in_use={2}) == ()
    assert ring.data_key(1) is None


def test_a_ring_that_vanishes_leaves_the_keys_in_memory(folder: Path) -> None:
    ring = KeyRing.load(folder)
    (folder / "ring.json").unlink()

    assert not ring.refresh()
    assert ring.data_key(1)


def test_a_ring_replaced_by_another_is_refused(folder: Path, tmp_path: Path) -> None:
    ring = KeyRing.load(folder)
    KeyRing.create(tmp_path / "other", "standard")
    (folder / "ring.json").write_bytes((tmp_path / "other" / "ring.json").read_bytes())

    with pytest.raises(KeyFault, match="replaced by another"):
        ring.refresh()
