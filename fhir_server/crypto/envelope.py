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
from functools import cache
from importlib.resources import files

import zstandard

from fhir_server.crypto.keys import KeyFault, KeyRing
from fhir_server.crypto.suites import NONCE_BYTES, Forged, Sealer

HEADER = struct.Struct(">BH")
_BOUND = struct.Struct(">qQ")
_BODY_AT = HEADER.size + NONCE_BYTES
_LEVEL = 3
_NEWEST = 1

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
    """Compressors of one thread: zstandard's are not safe to share."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=_LEVEL, dict_data=_dictionary(_NEWEST))
        self.decompressors: dict[int, zstandard.ZstdDecompressor] = {}


class Envelope:
    """Seals and opens payloads with a key ring; safe to share between threads."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring
        self._codecs = _Codecs()
        self._sealers: dict[int, Sealer] = {}
        self._sealing = self._prepare_sealing()

    def _prepare_sealing(self) -> tuple[bytes, Sealer]:
        active = self._ring.active
        return HEADER.pack(_NEWEST, active), self._sealer(active)

    def refresh(self) -> None:
        """Notice a ring that was rotated by another process: one ``stat`` when it was not."""
        if self._ring.refresh():
            self._sealers = {}
        if HEADER.unpack(self._sealing[0])[1] != self._ring.active:
            self._sealing = self._prepare_sealing()

    @property
    def active(self) -> int:
        """The number of the data key that seals now."""
        return self._ring.active

    @property
    def header(self) -> bytes:
        """How every payload begins that is sealed now."""
        return self._sealing[0]

    def seal(self, type_: str, digest: int, version: int, body: bytes) -> bytes:
        """Compress and seal ``body`` under the active key; ``digest`` is that of ``Type/id``."""
        header, sealer = self._sealing
        nonce = os.urandom(NONCE_BYTES)
        bound = header + _BOUND.pack(digest, version) + type_.encode()
        return header + nonce + sealer.seal(nonce, self._codecs.compressor.compress(body), bound)

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
        """Tell whether ``payload`` was sealed under the active key, with the newest dictionary."""
        return payload.startswith(self._sealing[0])

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
            codec = zstandard.ZstdDecompressor(dict_data=_dictionary(number))
            self._codecs.decompressors[number] = codec
        return codec
