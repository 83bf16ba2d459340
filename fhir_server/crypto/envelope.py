"""The envelope: one resource body compressed, sealed, and bound to its type, its id and its version.

::

    dictionary (1 byte) | key number (2 bytes) | nonce (12 bytes) | AEAD(zstd(body)) | tag (16 bytes)

The first three bytes, the type, the digest of ``Type/id`` and the version are associated data: a payload
that is moved to another row does not open.
"""

from __future__ import annotations

import hashlib
import os
import struct
import threading
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import zstandard

from fhir_server.crypto.keys import KeyFault, KeyRing
from fhir_server.crypto.suites import NONCE_BYTES, Forged, Sealer

HEADER = struct.Struct(">BH")
_BOUND = struct.Struct(">qQ")
_BODY_AT = HEADER.size + NONCE_BYTES
_LEVEL = 3
_BUILT_IN = 1
FIRST_LEARNED = 128
"""Dictionaries from here on are a store's own (:mod:`fhir_server.crypto.learn`), lower ones the program's."""

# A dictionary is part of the file format: change one byte and nothing sealed with it opens again. Better
# dictionaries get a new number and stand beside the old. The digest catches an edit before it does harm.
_DICTIONARIES = {
    1: ("dictionary-1.ndjson", "9bb7feedad971849c690ea3e13810c93dfb74d053644e3a395e317bb33c53b4f")
}


class Damaged(Exception):
    """A payload does not open with the keys at hand, or what comes out is not what went in."""


@cache
def _dictionary(number: int) -> zstandard.ZstdCompressionDict:
    name, expected = _DICTIONARIES[number]
    content = files(__package__).joinpath(name).read_bytes()
    if hashlib.sha256(content).hexdigest() != expected:
        raise KeyFault(f"The compression dictionary {name} was altered; install the program again.")
    dictionary = zstandard.ZstdCompressionDict(content, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    dictionary.precompute_compress(level=_LEVEL)
    return dictionary


class _Codecs(threading.local):
    """Compressors and decompressors of one thread, by dictionary: zstandard's are not safe to share."""

    def __init__(self) -> None:
        self.compressors: dict[int, zstandard.ZstdCompressor] = {}
        self.decompressors: dict[int, zstandard.ZstdDecompressor] = {}


class _Sealing(NamedTuple):
    """What payloads are sealed with: their first bytes, the number of the dictionary, the key."""

    header: bytes
    dictionary: int
    sealer: Sealer


class Envelope:
    """Seals and opens payloads with a key ring; safe to share between threads.

    ``fetch`` finds the store's own dictionary of a number that this process has not met; None: there is none.
    """

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring
        self.fetch: Callable[[int], bytes | None] = lambda _: None
        self._learned: dict[int, zstandard.ZstdCompressionDict] = {}
        self._codecs = _Codecs()
        self._sealers: dict[int, Sealer] = {}
        self._sealing = self._prepare_sealing()

    def _prepare_sealing(self) -> _Sealing:
        active, newest = self._ring.active, max(self._learned, default=_BUILT_IN)
        return _Sealing(HEADER.pack(newest, active), newest, self._sealer(active))

    def adopt(self, number: int, content: bytes) -> None:
        """Take over a learned dictionary that the store holds durably; the newest seals from now on."""
        if number not in self._learned:
            dictionary = zstandard.ZstdCompressionDict(content)
            dictionary.precompute_compress(level=_LEVEL)
            # Replaced as a whole: other threads look into it meanwhile.
            self._learned = {**self._learned, number: dictionary}
            self._sealing = self._prepare_sealing()

    def shrinks(self, content: bytes, bodies: Sequence[bytes]) -> float:
        """Return how large bodies get with a learned dictionary, as a share of what they are now."""
        fresh = _compressor(zstandard.ZstdCompressionDict(content))
        now = self._compressor(self._sealing.dictionary)
        sizes = [(len(fresh.compress(body)), len(now.compress(body))) for body in bodies]
        return sum(size for size, _ in sizes) / max(1, sum(size for _, size in sizes))

    def refresh(self) -> None:
        """Notice a ring that was rotated by another process: one ``stat`` when it was not."""
        if self._ring.refresh():
            self._sealers = {}
        if HEADER.unpack(self._sealing.header)[1] != self._ring.active:
            self._sealing = self._prepare_sealing()

    @property
    def active(self) -> int:
        """The number of the data key that seals now."""
        return self._ring.active

    @property
    def header(self) -> bytes:
        """How every payload begins that is sealed now."""
        return self._sealing.header

    def seal(self, type_: str, digest: int, version: int, body: bytes) -> bytes:
        """Compress and seal ``body`` under the active key; ``digest`` is that of ``Type/id``."""
        return self._sealed(self._sealing, (type_, digest, version), body)

    def seal_plainly(self, type_: str, digest: int, version: int, body: bytes) -> bytes:
        """Seal what must open before the store's own dictionaries are known."""
        _, _, sealer = self._sealing
        return self._sealed(
            _Sealing(HEADER.pack(_BUILT_IN, self.active), _BUILT_IN, sealer), (type_, digest, version), body
        )

    def _sealed(self, sealing: _Sealing, of: tuple[str, int, int], body: bytes) -> bytes:
        header, dictionary, sealer = sealing
        type_, digest, version = of
        nonce = os.urandom(NONCE_BYTES)
        bound = header + _BOUND.pack(digest, version) + type_.encode()
        return header + nonce + sealer.seal(nonce, self._compressor(dictionary).compress(body), bound)

    def open(self, type_: str, digest: int, version: int, payload: bytes) -> bytes:
        """Return the body that was sealed; raises :class:`Damaged`, or :class:`KeyFault` without its key."""
        header = payload[: HEADER.size]
        if len(payload) < _BODY_AT:
            raise Damaged
        dictionary, number = HEADER.unpack(header)
        bound = header + _BOUND.pack(digest, version) + type_.encode()
        sealer = self._sealers.get(number) or self._sealer(number)
        try:
            packed = sealer.open(payload[HEADER.size : _BODY_AT], payload[_BODY_AT:], bound)
            return self._decompressor(dictionary).decompress(packed)
        except (Forged, zstandard.ZstdError, KeyError) as error:
            raise Damaged from error

    def is_current(self, payload: bytes) -> bool:
        """Tell whether ``payload`` was sealed under the active key, with whatever dictionary."""
        return payload[1 : HEADER.size] == self._sealing.header[1:]

    def _sealer(self, number: int) -> Sealer:
        sealer = self._sealers.get(number)
        if sealer is None:
            key = self._ring.data_key(number)
            if key is None:
                # Another process may have rotated since this one looked.
                self._ring.refresh()
                key = self._ring.data_key(number)
            if key is None:
                raise KeyFault(f"Data key {number} is not in the key ring; restore the ring that holds it.")
            sealer = self._ring.suite.sealer(key)
            self._sealers[number] = sealer
        return sealer

    def _decompressor(self, number: int) -> zstandard.ZstdDecompressor:
        codec = self._codecs.decompressors.get(number)
        if codec is None:
            codec = zstandard.ZstdDecompressor(dict_data=self._dictionary(number))
            self._codecs.decompressors[number] = codec
        return codec

    def _compressor(self, number: int) -> zstandard.ZstdCompressor:
        codec = self._codecs.compressors.get(number)
        if codec is None:
            codec = self._codecs.compressors[number] = _compressor(self._dictionary(number))
        return codec

    def _dictionary(self, number: int) -> zstandard.ZstdCompressionDict:
        if number < FIRST_LEARNED:
            return _dictionary(number)
        if number not in self._learned:
            content = self.fetch(number)
            if content is None:
                raise Damaged
            self.adopt(number, content)
        return self._learned[number]


def _compressor(dictionary: zstandard.ZstdCompressionDict) -> zstandard.ZstdCompressor:
    # The header says which dictionary it is.
    return zstandard.ZstdCompressor(level=_LEVEL, dict_data=dictionary, write_dict_id=False)
