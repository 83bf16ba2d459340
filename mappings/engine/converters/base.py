"""What a converter is: a small pair of functions, native → FHIR and back, that undo each other.

Law (tests/mapping/engine/test_converters.py): for every sample v, write(read(v)) == v, and
read(write(read(v))) == read(v).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

Options = Mapping[str, Any]
"""A converter's options as the map file gives them, and ``zone``, the offset of times that name none."""


@dataclass(frozen=True, slots=True)
class Warned:
    """A value that was converted although something about it is odd; ``sentence`` says what."""

    value: Any
    sentence: str


@dataclass(frozen=True, eq=False, slots=True)
class Converter:
    """Two functions and what they are about.

    ``read``: native value (stripped text, never empty; lists and objects as they are) → FHIR value;
    ValueError with a sentence when it cannot be; None when the value means "nothing"; may return Warned.
    ``write``: FHIR value → native value, in the canonical form; the same errors.
    ``sample``: a random native value in canonical form. ``many``: ``read`` takes and ``write`` gives a tuple.
    """

    name: str
    read: Callable[[Any], Any]
    write: Callable[[Any], Any]
    sample: Callable[[Random], Any]
    many: bool = False
    warns: bool = False


def chosen(options: Options, **defaults: Any) -> Any:
    """Return the options with defaults, as a plain dict; ValueError names one that the converter lacks."""
    unknown = options.keys() - defaults.keys() - {"zone"}
    if unknown:
        allowed = ", ".join(sorted(defaults)) or "none"
        raise ValueError(f"The option '{min(unknown)}' is not known here (options: {allowed}).")
    return {**defaults, **options}


def words(value: Any) -> tuple[str, ...]:
    """Read an option that is one text or a list of texts."""
    if value is None:
        return ()
    return tuple(str(item) for item in value) if isinstance(value, list | tuple) else (str(value),)


def as_text(value: Any) -> str:
    """Return a FHIR primitive as native text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        raise ValueError("A single value is expected here, not a list or an object.")
    return str(value)
