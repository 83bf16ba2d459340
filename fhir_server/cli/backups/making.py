"""Making a backup of a data folder while a server serves it, and removing the oldest ones.

Order matters. What is known of loads comes first, so that the copy never takes for loaded what it lacks; the
log of accesses comes last, so that it tells of every change that the copy has.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Final

from fhir_server.audit.copying import copy_log
from fhir_server.audit.opening import FOLDER as LOG
from fhir_server.cli.backups import manifest
from fhir_server.cli.loading.journal import NAME as JOURNAL
from fhir_server.clock import instant
from fhir_server.config import Settings
from fhir_server.crypto.durable import sync_folder
from fhir_server.crypto.keys import KeyRing
from fhir_server.faults import Fault, Kind
from fhir_server.store.sqlite.copying import Progress, copy_database, settle
from fhir_server.store.sqlite.opening import FILE

_FOLDER: Final = re.compile(r"\d{8}T\d{9}Z")
_PARTIAL: Final = ".partial"

Look = Callable[[Path], list[str]]
"""Looks into the copy of a data folder and returns what is wrong with it, a sentence each."""


def make(
    settings: Settings, ring: KeyRing, place: Path, now: int, look: Look, progress: Progress
) -> tuple[Path, list[str]]:
    """Make a backup below ``place``; return its folder, named by the time ``now`` (ms), and findings.

    No key is in it. What ``look`` finds in the copy is in the data too: a backup that lacks something is
    better than none, so it is kept and says so. Faults and errors leave nothing behind: NOT_FOUND without a
    store.
    """
    if not (settings.data / FILE).is_file():
        raise Fault(Kind.NOT_FOUND, f"There is no store in {settings.data}: name the data folder.")
    made = instant(now)
    folder = place / re.sub(r"[-:.]", "", made)
    with _partial(folder) as copy:
        if (settings.data / JOURNAL).exists():
            shutil.copyfile(settings.data / JOURNAL, copy / JOURNAL)
            (copy / JOURNAL).chmod(0o600)
        copy_database(settings.data / FILE, copy / FILE, progress)
        copy_log(settings.data / LOG, copy / LOG)
        findings = look(copy)
        _leave_only_data(copy)
        manifest.write(copy, made, version("fhir-server"), len(findings), ring)
    return folder, findings


def _leave_only_data(copy: Path) -> None:
    """Remove what looking into the copy has left in it: locks, the write-ahead log."""
    settle(copy / FILE)
    for path in copy.glob("*.lock"):
        path.unlink()


@contextlib.contextmanager
def _partial(folder: Path) -> Iterator[Path]:
    """Yield a new folder that gets its name when the block ends well, and goes when it does not."""
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _remove_abandoned(folder.parent)
    fresh = folder.with_name(folder.name + _PARTIAL)
    fresh.mkdir(mode=0o700)
    with _locked(fresh):
        try:
            yield fresh
            sync_folder(fresh)
            fresh.rename(folder)
            sync_folder(folder.parent)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise


def _remove_abandoned(place: Path) -> None:
    """Remove what backups that were killed have left: folders that nobody holds any more."""
    for path in place.glob(f"*{_PARTIAL}"):
        with contextlib.suppress(BlockingIOError), _locked(path):
            shutil.rmtree(path)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a folder until the process ends at the latest; BlockingIOError while another one does."""
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def complete(place: Path) -> list[Path]:
    """Return the complete backups below ``place``, oldest first."""
    return sorted(
        path for path in place.iterdir() if _FOLDER.fullmatch(path.name) and (path / manifest.NAME).is_file()
    )


def keep_newest(place: Path, number: int) -> list[Path]:
    """Remove all but the newest ``number`` complete backups; return the folders that are gone."""
    old = complete(place)[:-number]
    for folder in old:
        # The manifest first: what is left of a removal that was interrupted is no backup.
        (folder / manifest.NAME).unlink()
        shutil.rmtree(folder)
    return old
