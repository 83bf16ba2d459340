"""A copy of a log's folder that processes append to meanwhile: every chain up to an entry that is whole.

Statements, signatures and what a crash left are copied as they are. A segment that is still open ends, in
the copy, after an entry; whoever goes on with the copy closes it as it closes one that a crash left open.
Needs no key and opens nothing: whether the log is true is what `fhir-server audit verify` tells.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Final

from fhir_server.audit.chain import Torn, frames

_LOCK: Final = "lock"
_MOMENT_SECONDS: Final = 0.2


def copy_log(log: Path, target: Path) -> int:
    """Copy all chains below ``log`` into the new folder ``target``; return how many segments. OSError passes.

    The index is left out: it is made anew of the log.
    """
    copied = 0
    for chain in sorted(path for path in log.glob("p*") if path.is_dir()):
        own = target / chain.name
        own.mkdir(mode=0o700, parents=True)
        # Listed once: a segment that is begun, and a statement that is signed, after this is not in the copy.
        files = {path.name: path for path in sorted(chain.iterdir()) if path.is_file()}
        for name, path in files.items():
            if path.suffix == ".seg":
                copied += 1
            if path.suffix == ".seg" and f"{path.stem}.json" not in files:
                _write(own / name, _whole_entries(path))
            elif name != _LOCK:
                _copy_file(path, own / name)
    return copied


def _whole_entries(path: Path) -> bytes:
    """Return the bytes of an open segment, without an entry that is being written at this moment.

    What breaks at the same place a moment later is no writing: a crash or damage left it, and it is kept.
    """
    data = path.read_bytes()
    end, is_torn = _end(data)
    if is_torn:
        time.sleep(_MOMENT_SECONDS)
        data, before = path.read_bytes(), end
        end, is_torn = _end(data)
        if is_torn and end == before:
            return data
    return data[:end]


def _end(data: bytes) -> tuple[int, bool]:
    """Return where the last whole entry ends, and whether anything but room stands behind it."""
    at = data.find(b"\n") + 1
    try:
        for end, _ in frames(data, at):
            at = end
    except Torn:
        return at, True
    return at, False


def _copy_file(source: Path, target: Path) -> None:
    """Copy a file, unless it has gone meanwhile, as the entries of pruned segments do."""
    try:
        shutil.copyfile(source, target)
    except FileNotFoundError:
        return
    target.chmod(0o600)


def _write(path: Path, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
