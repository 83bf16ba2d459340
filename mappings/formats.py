"""The formats that there are, by name; each is imported when it is asked for."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path

from mappings.engine.format import MapFormat
from mappings.engine.model import Issue, Refused

FORMATS = {
    "nhsa": "mappings.nhsa.format",
    "junwei": "mappings.his.format",
    "hsa": "mappings.his.format",
}
"""Format name → the module whose ``make(name)`` makes it."""

USER = "table"
"""The format of a user's own tables, which needs the folder of the maps."""


def names() -> list[str]:
    """List the names of all formats."""
    return sorted([*FORMATS, USER])


def get(name: str, folder: Path | None = None) -> MapFormat:
    """Return a format by name; ``folder``: of the user's maps. Refused when there is none of that name."""
    if name == USER:
        if folder is None:
            raise _refused("The format 'table' needs the folder of your maps: --maps DIR.")
        # Not kept: a user's maps change while they are written.
        return _checked(import_module("mappings.table").make(folder))
    if name not in FORMATS:
        raise _refused(f"There is no format '{name}' (formats: {', '.join(names())}).")
    return _built_in(name)


@cache
def _built_in(name: str) -> MapFormat:
    return _checked(import_module(FORMATS[name]).make(name))


def _checked(made: object) -> MapFormat:
    assert isinstance(made, MapFormat)
    return made


def _refused(sentence: str) -> Refused:
    return Refused(Issue("fatal", "not-found", "format", sentence))
