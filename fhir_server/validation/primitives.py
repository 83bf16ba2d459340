"""The primitive types of R4: what a JSON value must look like to be one.

https://hl7.org/fhir/R4/datatypes.html#primitive and https://hl7.org/fhir/R4/json.html#primitive
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

from fhir_server.validation.narrative import narrative_problem

MAX_STRING = 1024 * 1024
"""Characters; "strings SHALL NOT exceed 1MB in size"."""

_YEAR = r"([0-9]([0-9]([0-9][1-9]|[1-9]0)|[1-9]00)|[1-9]000)"
_MONTH = r"(0[1-9]|1[0-2])"
_DAY = r"(0[1-9]|[1-2][0-9]|3[0-1])"
_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]+)?"
_ZONE = r"(Z|(\+|-)((0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
_PATTERNS = {
    "canonical": r"\S+",
    "code": r"[^\s]+(\s[^\s]+)*",
    "date": rf"{_YEAR}(-{_MONTH}(-{_DAY})?)?",
    "dateTime": rf"{_YEAR}(-{_MONTH}(-{_DAY}(T{_CLOCK}{_ZONE})?)?)?",
    "id": r"[A-Za-z0-9\-\.]{1,64}",
    "instant": rf"{_YEAR}-{_MONTH}-{_DAY}T{_CLOCK}{_ZONE}",
    "oid": r"urn:oid:[0-2](\.(0|[1-9][0-9]*))+",
    "time": _CLOCK,
    "uri": r"\S+",
    "url": r"\S+",
    "uuid": r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
}
_DATED = frozenset({"date", "dateTime", "instant"})
# Characters that neither XML nor FHIR's own rule ("SHOULD NOT contain code points below 32") can carry.
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
_FORMS = {
    "base64Binary": "base64 text (RFC 4648), not empty",
    "boolean": "true or false, without quotes",
    "code": "a code: no space at either end, single spaces within, not empty",
    "date": "a date that exists: YYYY, YYYY-MM or YYYY-MM-DD",
    "dateTime": "a date that exists, or YYYY-MM-DDThh:mm:ss with a time zone",
    "decimal": "a JSON number",
    "id": "1 to 64 letters, digits, '-' and '.'",
    "instant": "YYYY-MM-DDThh:mm:ss with a time zone",
    "integer": "a whole number from -2147483648 to 2147483647",
    "positiveInt": "a whole number from 1 to 2147483647",
    "unsignedInt": "a whole number from 0 to 2147483647",
    "time": "hh:mm:ss, without a time zone",
    "oid": "urn:oid: and an object identifier",
    "uuid": "urn:uuid: and a UUID in lower case",
    **dict.fromkeys(("canonical", "uri", "url"), "a URI without spaces, not empty"),
    **dict.fromkeys(
        ("string", "markdown"),
        "text of at most 1 MB that is not blank and holds no control characters besides tab and line ends",
    ),
}

Check = Callable[[Any], bool]
_MEMO_SIZE = 8192
_MEMO_LENGTH = 80


def _is_text(value: Any) -> bool:
    return (
        type(value) is str
        and 0 < len(value) <= MAX_STRING
        and not value.isspace()
        and (value.isprintable() or _UNFIT.search(value) is None)
    )


def _is_base64(value: Any) -> bool:
    if type(value) is not str or not value.isascii():
        return False
    packed = "".join(value.split())
    try:
        # An empty value is no value; whitespace is allowed by the type's own pattern.
        return bool(packed) and bool(binascii.a2b_base64(packed, strict_mode=True))
    except binascii.Error:
        return False


def _is_decimal(value: Any) -> bool:
    return type(value) is int or (type(value) is Decimal and value.is_finite())


def _whole(low: int) -> Check:
    return lambda value: type(value) is int and low <= value <= 2147483647


def _shaped(type_name: str) -> Check:
    fullmatch = re.compile(_PATTERNS[type_name]).fullmatch
    dated = type_name in _DATED

    def check(value: Any) -> bool:
        if type(value) is not str or len(value) > MAX_STRING or fullmatch(value) is None:
            return False
        return not dated or _exists(value)

    return check


def _exists(text: str) -> bool:
    """Tell whether the day of a well-formed date is in the calendar."""
    if len(text) < 10:
        return True
    try:
        date(int(text[:4]), int(text[5:7]), int(text[8:10]))
    except ValueError:
        return False
    return True


def _remembered(check: Check, known: set[Any]) -> Check:
    """Wrap ``check`` so that short strings which passed stay in ``known`` (when full, it starts over)."""

    def remember(value: Any) -> bool:
        if not check(value):
            return False
        if len(value) <= _MEMO_LENGTH:
            if len(known) >= _MEMO_SIZE:
                known.clear()
            known.add(value)
        return True

    return remember


KNOWN: dict[str, set[Any]] = {name: set() for name in (*_PATTERNS, "string", "markdown")}
"""Values that already passed, per type: a test of membership costs 30 ns, the pattern ten times that."""

CHECKS: dict[str, Check] = {
    "base64Binary": _is_base64,
    "boolean": lambda value: type(value) is bool,
    "decimal": _is_decimal,
    "integer": _whole(-2147483648),
    "positiveInt": _whole(1),
    "unsignedInt": _whole(0),
    "xhtml": lambda value: narrative_problem(value) is None,
    **{name: _remembered(_shaped(name), KNOWN[name]) for name in _PATTERNS},
    **{name: _remembered(_is_text, KNOWN[name]) for name in ("string", "markdown")},
}
"""Primitive type → does a JSON value belong to it? (An id of an element has a rule of its own: no spaces.)"""


def problem(type_name: str, value: Any) -> str | None:
    """Say what is wrong with ``value`` as a ``type_name``, None when nothing is; never quotes it."""
    if type_name == "xhtml":
        return narrative_problem(value)
    if CHECKS[type_name](value):
        return None
    return f"This is no valid {type_name}: write {_FORMS[type_name]}."
