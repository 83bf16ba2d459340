"""The audit's own keys, in a ring of their own below the key folder.

They are apart from the keys of the records: rotating or retiring those leaves the audit readable, and who
may read records need not be who may read the audit.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from fhir_server.audit.lock import locked
from fhir_server.crypto.durable import replace_file
from fhir_server.crypto.keys import RING, KeyFault, KeyRing

FOLDER: Final = "audit"
_SIGNING: Final = "signing.pem"


class AuditKeys:
    """The keys of one audit. Make them with :meth:`open`."""

    def __init__(self, ring: KeyRing, signing: Ed25519PrivateKey) -> None:
        self.ring = ring
        self._signing = signing

    @classmethod
    def open(cls, key_folder: Path, suite: str, *, may_create: bool) -> AuditKeys:
        """Read the audit's keys below ``key_folder``; make them when there are none and ``may_create``.

        Raises KeyFault when they are missing or cannot be used. Where all are there, nothing is written: the
        folder may be mounted for reading alone.
        """
        folder = key_folder / FOLDER
        if may_create and not (folder / RING).exists():
            with locked(key_folder):
                if not (folder / RING).exists():
                    KeyRing.create(folder, suite)
        ring = KeyRing.load(folder)
        path = folder / _SIGNING
        if not path.exists():
            if not may_create:
                raise KeyFault("The audit's signing key is missing; restore the key folder's backup.")
            with locked(folder):
                if not path.exists():
                    replace_file(path, _pem(Ed25519PrivateKey.generate()))
        return cls(ring, _read_key(path))

    @property
    def master(self) -> bytes:
        """The key from which each segment's key is derived; it never changes."""
        return self.ring.index_key

    @property
    def public(self) -> bytes:
        """The public key that signatures are checked with, as PEM."""
        return self._signing.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    @property
    def name(self) -> str:
        """A short name of the signing key: the beginning of its public half's digest."""
        raw = self._signing.public_key().public_bytes(
            serialization.Encoding.Raw, serialization.PublicFormat.Raw
        )
        return hashlib.blake2b(raw, digest_size=8).hexdigest()

    def sign(self, data: bytes) -> bytes:
        """Return the Ed25519 signature (RFC 8032) of ``data``, 64 bytes."""
        return self._signing.sign(data)

    def verify(self, signature: bytes, data: bytes) -> bool:
        """Tell whether ``signature`` is this key's over ``data``."""
        return verify(self.public, signature, data)


def verify(public: bytes, signature: bytes, data: bytes) -> bool:
    """Tell whether ``signature`` over ``data`` was made with the private half of ``public`` (PEM)."""
    key = serialization.load_pem_public_key(public)
    if not isinstance(key, Ed25519PublicKey):
        return False
    try:
        key.verify(signature, data)
    except InvalidSignature:
        return False
    return True


def _pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _read_key(path: Path) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError) as error:
        raise KeyFault("The audit's signing key cannot be read; restore the key folder's backup.") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFault("The audit's signing key is of another kind than Ed25519; restore the backup.")
    return key
