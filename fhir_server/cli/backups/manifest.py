"""What a backup holds, written down and sealed with a key: nothing can be changed or left out unseen."""

from __future__ import annotations

import hashlib
import hmac
import os
from pathlib import Path
from typing import Final

import msgspec

from fhir_server.crypto.durable import replace_file
from fhir_server.crypto.keys import KeyRing
from fhir_server.faults import Fault, Kind

NAME: Final = "backup.json"
FORMAT: Final = 1
_CHUNK: Final = 1 << 20


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file: its length in bytes and its BLAKE2b-256 digest, hexadecimal."""

    bytes: int
    digest: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a backup holds. ``made``: FHIR instant; ``files``: by path below the data folder.

    ``findings``: how much was found wrong with the copy, as with the data that it was made of.
    ``seal``: keyed BLAKE2b-256 over everything else, by the index key, which never changes.
    """

    format: int
    made: str
    program: str
    findings: int
    files: dict[str, Entry]
    seal: str = ""

    @property
    def sealed(self) -> bytes:
        """The bytes that the seal is over."""
        return msgspec.json.encode(msgspec.structs.replace(self, seal=""), order="deterministic")


def write(folder: Path, made: str, program: str, findings: int, ring: KeyRing) -> Manifest:
    """Write down all files below ``folder`` and make them durable; with the manifest it is a whole backup."""
    files = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        files[path.relative_to(folder).as_posix()] = _entry(path)
    plain = Manifest(FORMAT, made, program, findings, files)
    manifest = msgspec.structs.replace(plain, seal=_seal(plain, ring))
    replace_file(folder / NAME, msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")
    return manifest


def read(folder: Path, ring: KeyRing) -> Manifest:
    """Read a backup's manifest and see that it is whole; Fault with what to do when it is not."""
    try:
        manifest = msgspec.json.decode((folder / NAME).read_bytes(), type=Manifest)
    except OSError:
        raise Fault(
            Kind.NOT_FOUND, f"{folder} holds no {NAME}: name the folder of one complete backup."
        ) from None
    except msgspec.DecodeError:
        raise Fault(Kind.UNPROCESSABLE, f"{folder / NAME} cannot be read: take another backup.") from None
    if manifest.format != FORMAT:
        raise Fault(Kind.UNPROCESSABLE, "The backup was made by a newer program: use that one.")
    if not hmac.compare_digest(manifest.seal.encode(), _seal(manifest, ring).encode()):
        raise Fault(
            Kind.UNPROCESSABLE,
            "The backup was changed, or made with other keys: name its own key folder, or another backup.",
        )
    return manifest


def differing(folder: Path, manifest: Manifest) -> list[str]:
    """Return the paths of the files that are missing or not what they were; [] = all are."""
    return [
        name
        for name, entry in manifest.files.items()
        if not (folder / name).is_file() or _entry(folder / name) != entry
    ]


def _entry(path: Path) -> Entry:
    digest, size = hashlib.blake2b(digest_size=32), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
        os.fsync(file.fileno())
    return Entry(size, digest.hexdigest())


def _seal(manifest: Manifest, ring: KeyRing) -> str:
    key = hashlib.blake2b(b"backup", key=ring.index_key[:64], digest_size=32).digest()
    return hashlib.blake2b(manifest.sealed, key=key, digest_size=32).hexdigest()
