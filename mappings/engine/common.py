"""The code tables that every format may use by name: ``codes.yaml``."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from mappings.engine.codes import Tables, table_of
from mappings.engine.yamltree import read


@cache
def common_tables() -> Tables:
    """Read ``codes.yaml``."""
    text = files("mappings.engine").joinpath("codes.yaml").read_text(encoding="utf-8")
    return Tables({name: table_of(name, data) for name, data in read(text, "codes.yaml").texts.items()})
