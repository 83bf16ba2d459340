"""How a system writes messages: its numbers, what stands for nothing, lists of one, extensions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Style:
    """One sender's habits, seen in a message or stated in a regional profile.

    ``numbers``: JSON numbers, or texts. ``empty``: what a specified field without a value is sent as: left
    out (omit), null, "" (blank), or what the specification asks: "0" for numbers, "" for others (zero).
    ``single``: a list block of one row as a list or as an object. ``expansion``: exp_content that holds JSON,
    as its text or as an object. ``output``: the business data as an object or as its JSON text.
    """

    numbers: Literal["number", "text"] = "number"
    empty: Literal["omit", "null", "blank", "zero"] = "omit"
    single: Literal["list", "object"] = "list"
    expansion: Literal["text", "object"] = "text"
    output: Literal["object", "text"] = "object"


def style_of(values: Mapping[str, Any]) -> Style:
    """Make a Style of a profile's ``style`` mapping. Raises ValueError for a name that no habit has."""
    known = {field.name for field in fields(Style)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise ValueError(f"a style has {', '.join(sorted(known))}; not {', '.join(unknown)}")
    return Style(**values)
