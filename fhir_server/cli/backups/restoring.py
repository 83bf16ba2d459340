"""Putting a backup into an empty data folder, once every byte of it has proved to be what was written."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from fhir_server.cli.backups import manifest
from fhir_server.config import Settings
from fhir_server.crypto.durable import sync_folder
from fhir_server.crypto.keys import KeyRing
from fhir_server.faults import Fault, Kind


def restore(settings: Settings, ring: KeyRing, backup: Path) -> manifest.Manifest:
    """Copy ``backup`` into the data folder; Faults before anything is written.

    CONFLICT when the folder holds anything but the keys, UNPROCESSABLE when the backup is not whole.
    """
    _refuse_to_overwrite(settings)
    told = manifest.read(backup, ring)
    if broken := [*_strange(told.files), *manifest.differing(backup, told)]:
        raise Fault(
            Kind.UNPROCESSABLE,
            f"{len(broken)} files of the backup are missing or damaged, the first is {broken[0]}: take"
            " another backup.",
        )
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings.data.chmod(0o700)
    for name in told.files:
        _copy(backup / name, settings.data / name)
    return told


def _refuse_to_overwrite(settings: Settings) -> None:
    if not settings.data.exists():
        return
    keys = settings.key_folder.resolve()
    if any(path.resolve() != keys for path in settings.data.iterdir()):
        raise Fault(
            Kind.CONFLICT,
            f"The data folder {settings.data} is not empty, and restore overwrites nothing: move what is in"
            " it away, or name another folder.",
        )


def _strange(names: Iterable[str]) -> list[str]:
    """Return the paths that lead out of the data folder."""
    return [name for name in names if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts]


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(0o600)
    with target.open("rb") as file:
        os.fsync(file.fileno())
    sync_folder(target.parent)
