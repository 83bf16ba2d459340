"""The audit's own keys, in a ring of their own below the key folder, and what the folder bears witness to.

They are apart from the keys of the records: rotating or retiring those leaves the audit readable, and who
may read records need not be who may read the audit.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from fhir_server.crypto.keys import RING, KeyFault, KeyRing
from fhir_server.faults import Fault, Kind

FOLDER: Final = "audit"
_SIGNING: Final = "signing.pem"
_HEADS: Final = "heads.json"
_LOCK: Final = "audit.lock"


class AuditKeys:
    """The keys of one audit. Make them with :meth:`open`."""

    def __init__(self, folder: Path, ring: KeyRing, signing: Ed25519PrivateKey) -> None:
        self._folder = folder
        self.ring = ring
        self._signing = signing

    @classmethod
    def open(cls, key_folder: Path, suite: str, *, may_create: bool) -> AuditKeys:
        """Read the audit's keys below ``key_folder``; make them when there are none and ``may_create``.

        Raises KeyFault when they are missing or cannot be used.
        """
        folder = key_folder / FOLDER
        if may_create and not (folder / RING).exists():
            with _locked(key_folder):
                if not (folder / RING).exists():
                    KeyRing.create(folder, suite)
        ring = KeyRing.load(folder)
        with _locked(folder):
            path = folder / _SIGNING
            if not path.exists():
                if not may_create:
                    raise KeyFault("The audit's signing key is missing; restore the key folder's backup.")
                _write(path, _pem(Ed25519PrivateKey.generate()))
            return cls(folder, ring, _read_key(path))

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

    def heads(self) -> dict[str, tuple[int, str]]:
        """Return, by chain, the number and final hash of the newest closed segment that was witnessed.

        The key folder lies on another disk than the log, so that who removes the newest segments must change
        both. A file that cannot be read bears no witness.
        """
        try:
            content = json.loads((self._folder / _HEADS).read_bytes())
            return {str(name): (int(head[0]), str(head[1])) for name, head in content.items()}
        except (OSError, ValueError, TypeError, AttributeError, LookupError):
            return {}

    def witness(self, chain: str, number: int, final: str) -> None:
        """Keep the number and final hash of a segment that was closed just now."""
        with _locked(self._folder):
            heads = self.heads()
            heads[chain] = (number, final)
            _write(self._folder / _HEADS, json.dumps(heads, indent=1).encode())


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


def _write(path: Path, content: bytes) -> None:
    replace_file(path, content)


def replace_file(path: Path, content: bytes) -> None:
    """Write a private file so that a crash leaves either the old one or the new one, whole."""
    fresh = path.with_name(f"{path.name}.new")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    try:
        handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Fault(
            Kind.UNAVAILABLE, "The key folder is missing or cannot be written to; check its path and owner."
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
