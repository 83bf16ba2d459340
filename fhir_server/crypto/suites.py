"""The two cipher suites: which cipher seals a payload and which keyed digest blinds an index value.

``standard``: AES-256-GCM (NIST SP 800-38D) and keyed BLAKE2b (RFC 7693).
``guomi`` (国密): SM4-GCM (RFC 8998) and HMAC-SM3 (GB/T 32905).
Nonces are 96 random bits, so a data key must be rotated before it has sealed 2**32 payloads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES = 12
TAG_BYTES = 16
DIGEST_BYTES = 8


class Forged(Exception):
    """Sealed bytes do not open: another key, other associated data, or altered bytes."""


class Sealer(Protocol):
    """One data key at work; safe to share between threads."""

    def seal(self, nonce: bytes, plain: bytes, bound: bytes) -> bytes:
        """Encrypt ``plain`` and bind it to ``bound``; the tag follows the ciphertext."""

    def open(self, nonce: bytes, sealed: bytes, bound: bytes) -> bytes:
        """Decrypt what :meth:`seal` made; raises :class:`Forged`."""


Digest = Callable[[bytes], bytes]
"""A keyed digest of :data:`DIGEST_BYTES` bytes."""


class _Aes:
    __slots__ = ("_cipher",)

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, nonce: bytes, plain: bytes, bound: bytes) -> bytes:
        return self._cipher.encrypt(nonce, plain, bound)

    def open(self, nonce: bytes, sealed: bytes, bound: bytes) -> bytes:
        try:
            return self._cipher.decrypt(nonce, sealed, bound)
        except InvalidTag:
            raise Forged from None


class _Sm4:
    __slots__ = ("_algorithm",)

    def __init__(self, key: bytes) -> None:
        self._algorithm = algorithms.SM4(key)

    def seal(self, nonce: bytes, plain: bytes, bound: bytes) -> bytes:
        encryptor = Cipher(self._algorithm, modes.GCM(nonce)).encryptor()
        encryptor.authenticate_additional_data(bound)
        return encryptor.update(plain) + encryptor.finalize() + encryptor.tag

    def open(self, nonce: bytes, sealed: bytes, bound: bytes) -> bytes:
        if len(sealed) < TAG_BYTES:
            raise Forged
        decryptor = Cipher(self._algorithm, modes.GCM(nonce, sealed[-TAG_BYTES:])).decryptor()
        decryptor.authenticate_additional_data(bound)
        try:
            return decryptor.update(sealed[:-TAG_BYTES]) + decryptor.finalize()
        except InvalidTag:
            raise Forged from None


def _blake2b(key: bytes) -> Digest:
    # Copying a keyed state is twice as fast as keying a new one (0.9 against 1.9 microseconds).
    keyed = hashlib.blake2b(key=key, digest_size=DIGEST_BYTES)

    def digest(data: bytes) -> bytes:
        state = keyed.copy()
        state.update(data)
        return state.digest()

    return digest


def _hmac_sm3(key: bytes) -> Digest:
    keyed = hmac.HMAC(key, hashes.SM3())

    def digest(data: bytes) -> bytes:
        state = keyed.copy()
        state.update(data)
        return state.finalize()[:DIGEST_BYTES]

    return digest


@dataclass(frozen=True, slots=True)
class Suite:
    """A cipher and a digest that go together, and the sizes of their keys in bytes."""

    name: str
    data_key_bytes: int
    index_key_bytes: int
    sealer: Callable[[bytes], Sealer]
    digest: Callable[[bytes], Digest]


SUITES = {
    suite.name: suite
    for suite in (
        Suite("standard", 32, 32, _Aes, _blake2b),
        Suite("guomi", 16, 32, _Sm4, _hmac_sm3),
    )
}
