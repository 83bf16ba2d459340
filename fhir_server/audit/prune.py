"""Pruning: an administrator removes the entries of whole closed segments that are older than the retention.

Their signed statements stay, so that the chain can still be followed, and a signed note says who is missing
by intention. Nothing else ever removes an entry.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Final

import msgspec

from fhir_server.audit.keys import AuditKeys, replace_file, sync_folder
from fhir_server.audit.segment import chain_folders, segments
from fhir_server.audit.writer import is_free
from fhir_server.faults import Fault, Kind

DAY_MS: Final = 86_400_000
LEAST_DAYS: Final = 180
_NOTE: Final = "pruned.json"


class Note(msgspec.Struct, frozen=True):
    """Segments up to ``through`` of ``chain`` were pruned, last at ``at`` (ms), being older than ``days``."""

    chain: str
    through: int
    at: int
    days: int
    signature: str = ""

    @property
    def signed(self) -> bytes:
        """The bytes that the signature is over."""
        return msgspec.json.encode(msgspec.structs.replace(self, signature=""))


def prune(log: Path, keys: AuditKeys, days: int, now: int) -> list[str]:
    """Remove the segments all of whose entries are older than ``days``; return their names.

    Raises Fault when ``days`` is less than the law allows, or while a process writes to the log.
    """
    if days < LEAST_DAYS:
        raise Fault(Kind.BAD_REQUEST, f"The audit is kept for at least {LEAST_DAYS} days.")
    folders = chain_folders(log)
    if not all(is_free(folder) for folder in folders):
        raise Fault(Kind.CONFLICT, "The server is running: stop it, then prune the audit.")
    return [name for folder in folders for name in _prune_chain(folder, keys, days, now)]


def _prune_chain(folder: Path, keys: AuditKeys, days: int, now: int) -> list[str]:
    names, through, old = [], pruned_through(folder, keys), []
    for segment in segments(folder):
        statement = segment.statement()
        # In order, and only from the beginning: what is left has no holes.
        if statement is None or statement.last >= now - days * DAY_MS:
            break
        if segment.path.exists():
            old.append(segment)
            names.append(segment.name)
            through = segment.number
    if old:
        note = Note(folder.name, through, now, days)
        signature = base64.b64encode(keys.sign(note.signed)).decode()
        replace_file(folder / _NOTE, msgspec.json.encode(msgspec.structs.replace(note, signature=signature)))
        for segment in old:
            segment.path.unlink()
        sync_folder(folder)
    return names


def pruned_through(folder: Path, keys: AuditKeys) -> int:
    """Return the number of the last segment that was pruned by command; 0 when none was, or nobody signed."""
    try:
        note = msgspec.json.decode((folder / _NOTE).read_bytes(), type=Note)
        signature = base64.b64decode(note.signature, validate=True)
    except (OSError, msgspec.DecodeError, binascii.Error):
        return 0
    return note.through if note.chain == folder.name and keys.verify(signature, note.signed) else 0


def forget_index(log: Path) -> None:
    """Remove the index of the log, which holds what was pruned; it is made anew of what is left."""
    folder = log / "index"
    if folder.is_dir():
        for path in folder.iterdir():
            path.unlink()
