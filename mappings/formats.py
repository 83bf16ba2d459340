"""The formats that there are, by name; each is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module

from mappings.engine.model import Format, Issue, Refused

FORMATS = {
    "nhsa": "mappings.nhsa.format",
    "junwei": "mappings.his.format",
    "hsa": "mappings.his.format",
    "table": "mappings.table",
}
"""Format name → the module whose ``make(name)`` makes it."""


@cache
def get(name: str) -> Format:
    """Return a format by name; Refused when there is none of that name."""
    if name not in FORMATS:
        sentence = f"There is no format '{name}' (formats: {', '.join(sorted(FORMATS))})."
        raise Refused(Issue("fatal", "not-found", "format", sentence))
    make: Callable[[str], Format] = import_module(FORMATS[name]).make
    return make(name)
