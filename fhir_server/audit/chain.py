"""How entries are chained and sealed: one frame after another, each bound to all that came before it.

::

    length (4 bytes, big endian) | AEAD(entry) | tag (16 bytes)

``hash(n) = H(hash(n-1) | sealed(n))``; ``hash(-1) = H(header of the segment)``. A frame is sealed with its
number as the nonce (a segment has a key of its own, used for nothing else) and ``hash(n-1)`` as associated
data: a frame that is changed, moved, removed or put in makes itself or the next one unreadable. Who has no
key can still compute the hashes and compare the last one with the signed statement of the segment.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives import hashes, hmac

from fhir_server.crypto.suites import NONCE_BYTES, TAG_BYTES, Forged, Sealer, Suite

LENGTH: Final = struct.Struct(">I")
HASH_BYTES: Final = 32
BEGINNING: Final = bytes(HASH_BYTES)
"""What stands for the segment before the first one."""
MOST_BYTES: Final = 64 * 1024 * 1024
"""Longest entry that is believed: a longer length is damage."""

Hash = Callable[[bytes, bytes], bytes]
"""Hashes two texts one after the other to 32 bytes."""


class Broken(Exception):
    """Frame ``number``, which starts at byte ``offset``, does not follow from the ones before it."""

    def __init__(self, number: int, offset: int) -> None:
        super().__init__(number)
        self.number = number
        self.offset = offset


class Torn(Broken):
    """Frame ``number`` is not all there: the file ends within it."""


_EMPTY: Final = hashlib.blake2b(digest_size=HASH_BYTES)


def _blake2b(first: bytes, second: bytes) -> bytes:
    # Making the state takes longer than copying one, and hashing short texts.
    state = _EMPTY.copy()
    state.update(first + second)
    return state.digest()


def _sm3(first: bytes, second: bytes) -> bytes:
    state = hashes.Hash(hashes.SM3())
    state.update(first)
    state.update(second)
    return state.finalize()


_HASHES: Final[dict[str, Hash]] = {"standard": _blake2b, "guomi": _sm3}


def hash_of(suite: str) -> Hash:
    """Return the hash of a cipher suite: BLAKE2b (RFC 7693), or SM3 (GB/T 32905)."""
    return _HASHES[suite]


def segment_key(suite: Suite, master: bytes, salt: bytes) -> bytes:
    """Derive the key that seals the one segment whose header carries ``salt``."""
    label = b"audit segment" + salt
    if suite.name == "guomi":
        keyed = hmac.HMAC(master, hashes.SM3())
        keyed.update(label)
        return keyed.finalize()[: suite.data_key_bytes]
    return hashlib.blake2b(label, key=master[:64], digest_size=suite.data_key_bytes).digest()


@dataclass(slots=True)
class Chain:
    """The end of a chain: how many frames it has, and the hash of the last one."""

    hash: Hash
    last: bytes
    count: int = 0

    def seal(self, sealer: Sealer, entry: bytes) -> bytes:
        """Return the next frame and go on to it."""
        sealed = sealer.seal(_nonce(self.count), entry, self.last)
        self.last = self.hash(self.last, sealed)
        self.count += 1
        return LENGTH.pack(len(sealed)) + sealed

    def open(self, sealer: Sealer, sealed: bytes) -> bytes:
        """Return the entry of the next frame and go on to it; raises :class:`Forged`."""
        entry = sealer.open(_nonce(self.count), sealed, self.last)
        self.follow(sealed)
        return entry

    def follow(self, sealed: bytes) -> None:
        """Go on to the next frame without opening it."""
        self.last = self.hash(self.last, sealed)
        self.count += 1


def frames(data: bytes | memoryview, start: int = 0, count: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yield (offset of its end, sealed bytes) of each frame from ``start``; raises :class:`Torn`.

    Zeros to the end are room that was made beforehand, not frames. ``count``: the number of the first one.
    """
    at, end = start, len(data)
    while at < end:
        begin = at + LENGTH.size
        length = LENGTH.unpack_from(data, at)[0] if begin <= end else -1
        if length <= 0 and not any(bytes(data[at:])):
            return
        if not TAG_BYTES <= length <= MOST_BYTES or begin + length > end:
            raise Torn(count, at)
        at = begin + length
        yield at, bytes(data[begin:at])
        count += 1


def opened(
    chain: Chain, sealer: Sealer, data: bytes | memoryview, start: int = 0
) -> Iterator[tuple[int, bytes]]:
    """Yield (offset of its end, entry) of each frame from ``start``, moving ``chain`` along.

    Raises :class:`Broken` at the first frame that does not follow, :class:`Torn` if the file just ends.
    """
    at = start
    for end, sealed in frames(data, start, chain.count):
        try:
            entry = chain.open(sealer, sealed)
        except Forged:
            raise Broken(chain.count, at) from None
        yield end, entry
        at = end


def _nonce(number: int) -> bytes:
    return number.to_bytes(NONCE_BYTES, "big")
