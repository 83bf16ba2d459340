"""Rows of strings: plain ones, names with their sound, addresses by their divisions.

https://hl7.org/fhir/R4/search.html#string
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from fhir_server.search.elements.base import Codes, text
from fhir_server.search.sounds import is_chinese, sounds
from fhir_server.search.values import Values

_ADDRESS_PARTS = ("text", "city", "district", "state", "postalCode", "country")


def string(values: Values, codes: Codes, element: Any) -> None:
    """Add a string or markdown as written."""
    if isinstance(element, str):
        for code in codes:
            values.strings.append((code, element))


def human_name(values: Values, codes: Codes, element: Any) -> None:
    """Add each part of a HumanName as a string of its own, and how a Chinese one sounds."""
    if isinstance(element, dict):
        for key in ("text", "family"):
            string(values, codes, element.get(key))
        for key in ("given", "prefix", "suffix"):
            _strings(values, codes, element.get(key))
        _sound(values, codes, _spoken_parts(element))


def name_part(values: Values, codes: Codes, element: Any) -> None:
    """Add one part of a HumanName, a family or given name, and how it sounds when it is Chinese."""
    string(values, codes, element)
    if isinstance(element, str) and not element.isascii():
        _sound(values, codes, [element])


def _spoken_parts(name: dict[str, Any]) -> list[str]:
    """Return what of a name is spoken: its text, the family name followed by the given names, and these."""
    family, given = text(name.get("family")), name.get("given")
    names = "".join(filter(None, map(text, given))) if isinstance(given, list) else ""
    return [each for each in (text(name.get("text")), family + names, names) if not each.isascii()]


def _sound(values: Values, codes: Codes, parts: list[str]) -> None:
    """Add the sounds of the parts, without those that begin another one: a search reads from the start."""
    found = sorted({sound for part in parts for sound in sounds(part)})
    for sound, after in pairwise([*found, ""]):
        if not after.startswith(sound):
            values.strings.extend((code + ":sound", sound) for code in codes)


def address(values: Values, codes: Codes, element: Any) -> None:
    """Add each part of an Address as a string of its own; a Chinese one also as it is written in one line."""
    if isinstance(element, dict):
        for key in _ADDRESS_PARTS:
            string(values, codes, element.get(key))
        _strings(values, codes, element.get("line"))
        for joined in _joined(element):
            string(values, codes, joined)


def _joined(element: dict[str, Any]) -> Iterator[str]:
    """Yield a Chinese address from its province on, from its city on, and from its district on.

    省市区街道: 四川省成都 finds what begins so, however its parts were filed. A division that repeats the
    one above it (北京市北京市) is written once, and a line that holds the whole address stands for itself.
    """
    divisions = [text(element.get(key)) for key in ("state", "city", "district")]
    lines = element.get("line")
    street = "".join(filter(None, map(text, lines))) if isinstance(lines, list) else ""
    known = list(dict.fromkeys(each for each in divisions if each))
    if not known or not is_chinese("".join(known)) or street.startswith(known[0]):
        return
    for start in range(len(known)):
        joined = "".join((*known[start:], street))
        if joined != known[start]:
            yield joined


def _strings(values: Values, codes: Codes, elements: Any) -> None:
    if isinstance(elements, list):
        for each in elements:
            string(values, codes, each)
