"""The key ring: numbered data keys, of which one is active, and the index key, in one private folder.

Data keys rotate: a new one seals from then on, the old ones still open, and a key that seals nothing any more
may be retired. The index key never changes: every digest in the index depends on it.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import fcntl
import json
import os
import secrets
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fhir_server.crypto.durable import replace_file
from fhir_server.crypto.suites import SUITES, Suite
from fhir_server.faults import Fault, Kind

RING = "ring.json"
_LOCK = "ring.lock"
_FORMAT = 1
_MOST_KEYS = 0xFFFF


class KeyFault(Fault):
    """A key is missing, wrong or unreadable; the sentence says which and what to do."""

    def __init__(self, diagnostics: str) -> None:
        super().__init__(Kind.UNAVAILABLE, diagnostics)


@dataclass(frozen=True, slots=True)
class Keys:
    """What a ring holds at one moment. ``stamp`` changes whenever the file is replaced."""

    suite: Suite
    active: int
    data: dict[int, bytes]
    index: bytes
    stamp: tuple[int, int, int]


class KeyRing:
    """A key ring folder (0700, its files 0600). Make one with :meth:`create` or :meth:`load`."""

    def __init__(self, folder: Path, keys: Keys) -> None:
        self._folder = folder
        self._keys = keys

    @classmethod
    def create(cls, folder: Path, suite: str) -> KeyRing:
        """Make a new ring with one data key and an index key; refuses to overwrite one."""
        chosen = SUITES.get(suite)
        if chosen is None:
            raise KeyFault(f"The cipher suite must be one of {', '.join(sorted(SUITES))}.")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(folder):
            if (folder / RING).exists():
                raise KeyFault("The key folder already holds a key ring; it is not overwritten.")
            # mkdir's mode is subject to the umask and says nothing of a folder that was there before.
            folder.chmod(0o700)
            first = {1: secrets.token_bytes(chosen.data_key_bytes)}
            keys = Keys(chosen, 1, first, secrets.token_bytes(chosen.index_key_bytes), (0, 0, 0))
            _write(folder, keys)
        return cls.load(folder)

    @classmethod
    def load(cls, folder: Path) -> KeyRing:
        """Read the ring in ``folder``; raises :class:`KeyFault` when it is missing or cannot be used."""
        return cls(folder, _read(folder))

    @property
    def suite(self) -> Suite:
        """The cipher suite that the keys are for."""
        return self._keys.suite

    @property
    def active(self) -> int:
        """The number of the data key that seals now."""
        return self._keys.active

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of all data keys, oldest first."""
        return tuple(sorted(self._keys.data))

    @property
    def index_key(self) -> bytes:
        """The key of the blind index."""
        return self._keys.index

    def data_key(self, number: int) -> bytes | None:
        """Return a data key; None when the ring does not hold it."""
        return self._keys.data.get(number)

    def refresh(self) -> bool:
        """Read the ring again if its file was replaced; True when it was.

        Costs one ``stat``. An unreadable file leaves the keys in memory as they are: a server that runs does
        not stop because a folder was unmounted.
        """
        try:
            if _stamp((self._folder / RING).stat()) == self._keys.stamp:
                return False
            keys = _read(self._folder)
        except (OSError, KeyFault):
            return False
        if keys.index != self._keys.index or keys.suite is not self._keys.suite:
            raise KeyFault(
                "The key ring was replaced by another one while the server ran; restore the right one."
            )
        self._keys = keys
        return True

    def rotate(self) -> int:
        """Add a data key, make it the active one, and return its number."""
        with _locked(self._folder):
            keys = _read(self._folder)
            number = max(keys.data) + 1
            if number > _MOST_KEYS:
                raise KeyFault(f"The key ring is full: {_MOST_KEYS} data keys were made in it.")
            data = {**keys.data, number: secrets.token_bytes(keys.suite.data_key_bytes)}
            _write(self._folder, replace(keys, active=number, data=data))
            self._keys = _read(self._folder)
        return number

    def retire(self, in_use: Collection[int]) -> tuple[int, ...]:
        """Remove the data keys that are neither active nor ``in_use``; return their numbers.

        Does not look into any store: ask ``SqliteStore.retire``, which does. A backup that was sealed under a
        retired key cannot be opened any more.
        """
        with _locked(self._folder):
            keys = _read(self._folder)
            gone = tuple(n for n in sorted(keys.data) if n != keys.active and n not in in_use)
            if gone:
                _write(
                    self._folder, replace(keys, data={n: k for n, k in keys.data.items() if n not in gone})
                )
            self._keys = _read(self._folder)
        return gone

    def findings(self) -> list[str]:
        """Say what is wrong with the folder's permissions, a sentence each; [] = private."""
        found = []
        if stat.S_IMODE(self._folder.stat().st_mode) & 0o077:
            found.append("The key folder can be entered by others: set its mode to 0700.")
        if stat.S_IMODE((self._folder / RING).stat().st_mode) & 0o077:
            found.append("The key ring can be read by others: set its mode to 0600.")
        return found


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    try:
        handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise KeyFault(
            "The key folder is missing or cannot be written to; check its path and owner."
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _stamp(status: os.stat_result) -> tuple[int, int, int]:
    return (status.st_mtime_ns, status.st_ino, status.st_size)


def _read(folder: Path) -> Keys:
    try:
        with (folder / RING).open("rb") as file:
            stamp = _stamp(os.fstat(file.fileno()))
            content = json.loads(file.read())
    except FileNotFoundError as error:
        raise KeyFault("The key folder holds no key ring; run init, or say where the keys are.") from error
    except (OSError, ValueError) as error:
        raise KeyFault("The key ring cannot be read; check its owner or restore its backup.") from error
    try:
        return _parse(content, stamp)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise KeyFault("The key ring is damaged; restore it from its backup.") from error


def _parse(content: dict[str, Any], stamp: tuple[int, int, int]) -> Keys:
    if content["format"] != _FORMAT:
        raise KeyFault("The key ring was written by a newer version of this program; update the program.")
    suite = SUITES[content["suite"]]
    data = {int(number): _decode(key, suite.data_key_bytes) for number, key in content["data"].items()}
    active = content["active"]
    if active not in data or not all(0 < number <= _MOST_KEYS for number in data):
        raise ValueError
    return Keys(suite, active, data, _decode(content["index"], suite.index_key_bytes), stamp)


def _decode(text: str, size: int) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError from error
    if len(key) != size:
        raise ValueError
    return key


def _write(folder: Path, keys: Keys) -> None:
    """Replace the ring so that a crash leaves either the old file or the new one, whole."""
    content = {
        "format": _FORMAT,
        "suite": keys.suite.name,
        "active": keys.active,
        "data": {str(number): base64.b64encode(key).decode() for number, key in sorted(keys.data.items())},
        "index": base64.b64encode(keys.index).decode(),
    }
    replace_file(folder / RING, json.dumps(content, indent=1).encode("ascii"))
