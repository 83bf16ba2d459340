"""The value of a search parameter, by the parameter's type: ``system|code``, ``ge2024-03``, ``Patient/1`` …

https://hl7.org/fhir/R4/search.html#ptypes
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from decimal import Context, Decimal
from types import MappingProxyType
from typing import Literal, Protocol, cast

from fhir_server.faults import Fault, Kind
from fhir_server.frozen import frozen
from fhir_server.resources.types import RESOURCE_TYPES
from fhir_server.search.dates import span
from fhir_server.search.elements import LARGEST
from fhir_server.search.fold import fold
from fhir_server.search.parameters import R4, Parameter, Registry
from fhir_server.search.predicate import (
    DateIs,
    Near,
    NumberIs,
    Prefix,
    QuantityIs,
    ReferenceIs,
    StringIs,
    StringStarts,
    Test,
    TokenIs,
    UriIs,
)
from fhir_server.search.references import local
from fhir_server.search.sphere import HALF_WAY_ROUND
from fhir_server.search.ucum import UCUM, unit

Codes = frozenset[tuple[str, str]]
"""Codes with their systems, "" for none."""
Direction = Literal["above", "below"]


class Terminology(Protocol):
    """What codes mean to each other, as far as a search asks; answers were prepared before it is parsed.

    :func:`search.needs.needs` lists the questions that a search will ask.
    """

    def expand(self, value_set: str) -> Codes:
        """Return the codes of a value set, named by ``url``, ``url|version`` or ``ValueSet/id``.

        Raises a Fault when it is unknown or too large.
        """

    def subsumed(self, system: str, code: str, direction: Direction) -> Codes:
        """Return a code and all that lie above or below it. Raises a Fault when the system is unknown."""


class _NoTerminology:
    """A server without code systems: every question is refused."""

    def expand(self, value_set: str) -> Codes:  # noqa: ARG002 - whichever it is
        """Refuse."""
        raise Fault(Kind.UNSUPPORTED_PARAMETER, "Value sets cannot be searched by here; name the codes.")

    def subsumed(self, system: str, code: str, direction: Direction) -> Codes:  # noqa: ARG002 - the same
        """Refuse."""
        raise Fault(Kind.UNSUPPORTED_PARAMETER, "Code hierarchies cannot be searched here; name the codes.")


NO_TERMINOLOGY = _NoTerminology()


@frozen
class Options:
    """How a server reads search parameters.

    ``zone``: of dates without one. ``now``: the present, in ms since the epoch (for ``ap``). ``base``: the
    server's address without a trailing slash. ``default_count``, ``max_count``: entries in a page.
    ``strict``: refuse an unknown parameter; otherwise ignore it and say so. ``registry``: which are known.
    ``terminology``: answers ``:in``, ``:not-in``, ``:above`` and ``:below`` of codes. ``full_text``: the
    store keeps words, so that ``_text`` and ``_content`` can be searched. ``contained``: who asks can search
    contained resources; otherwise ``_contained`` and ``_containedType`` are unknown parameters.
    """

    zone: tzinfo
    now: int
    base: str = ""
    default_count: int = 20
    max_count: int = 1000
    strict: bool = True
    registry: Registry = R4
    terminology: Terminology = NO_TERMINOLOGY
    full_text: bool = False
    contained: bool = False


_PREFIXED = re.compile(r"(eq|ne|gt|lt|ge|le|sa|eb|ap)?(.*)", re.DOTALL)
_NUMBER = re.compile(r"[+-]?\d{1,40}(?:\.\d{1,40})?(?:[eE][+-]?\d{1,3})?", re.ASCII)
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}", re.ASCII)
_ESCAPED = re.compile(r"\\([\\,|$])")
_EXACT = Context(prec=100, Emax=10_000, Emin=-10_000)
"""Wide enough that the bounds of any number that ``_NUMBER`` admits are exact."""


def bad(parameter: Parameter, expected: str) -> Fault:
    """Return the fault for a value that cannot be read; it says what to write, not what was written."""
    return Fault(
        Kind.BAD_PARAMETER, f"The value of the search parameter {parameter.code} must be {expected}."
    )


def split(text: str, separator: str) -> list[str]:
    """Split at every ``separator`` that no backslash escapes; the escapes stay.

    https://hl7.org/fhir/R4/search.html#escaping
    """
    if "\\" not in text:
        return text.split(separator)
    # A run without separators and backslashes, or an escaped character; what is left over are separators.
    pieces: list[str] = []
    current: list[str] = []
    for part in re.findall(rf"\\.|\\|[^\\{re.escape(separator)}]+|{re.escape(separator)}", text):
        if part == separator:
            pieces.append("".join(current))
            current = []
        else:
            current.append(part)
    return [*pieces, "".join(current)]


def unescape(text: str) -> str:
    """Undo the escapes of ``,`` ``|`` ``$`` and the backslash; any other backslash is itself."""
    return _ESCAPED.sub(r"\1", text) if "\\" in text else text


def token(parameter: Parameter, text: str, _: Options) -> TokenIs:
    """Read ``code``, ``system|code``, ``|code`` or ``system|``. https://hl7.org/fhir/R4/search.html#token"""
    parts = [unescape(part) for part in split(text, "|")]
    if len(parts) == 1:
        return TokenIs(None, parts[0])
    if len(parts) > 2 or not any(parts):
        raise bad(parameter, r"code, system|code, |code or system| (write a | within either as \|)")
    return TokenIs(parts[0], parts[1] or None)


def string(_: Parameter, text: str, __: Options) -> StringStarts:
    """Read the beginning of a string. https://hl7.org/fhir/R4/search.html#string"""
    return StringStarts(fold(unescape(text)))


def exact(_: Parameter, text: str, __: Options) -> StringIs:
    """Read a whole string, case and accents included. https://hl7.org/fhir/R4/search.html#string"""
    return StringIs(unescape(text))


def uri(_: Parameter, text: str, __: Options) -> UriIs:
    """Read a URI. https://hl7.org/fhir/R4/search.html#uri"""
    return UriIs(unescape(text))


def date(parameter: Parameter, text: str, options: Options) -> DateIs:
    """Read a date with its prefix; ``ap`` widens it by a tenth of its distance from now.

    https://hl7.org/fhir/R4/search.html#date
    """
    prefix, written = _prefixed(text)
    try:
        # A plus sign that was not percent-encoded arrives as a space. Nothing that long is a date.
        lo, hi = span(written.replace(" ", "+")[:64], options.zone)
    except ValueError:
        raise bad(parameter, "a date such as 2024, 2024-03, ge2024-03-01 or lt2024-03-01T08:30:00Z") from None
    if prefix == "ap":
        margin = max(0, lo - options.now, options.now - hi) // 10
        lo, hi = lo - margin, hi + margin
    return DateIs(prefix, lo, hi)


def number(parameter: Parameter, text: str, _: Options) -> NumberIs:
    """Read a number with its prefix. https://hl7.org/fhir/R4/search.html#number"""
    return _number(parameter, text, "a number such as 100, 5.40 or ge1e2")


def quantity(parameter: Parameter, text: str, _: Options) -> QuantityIs:
    """Read ``number``, ``number|system|code`` or ``number||code``. https://hl7.org/fhir/R4/search.html#quantity"""
    expected = "a number, number|system|code or number||code, such as ge5.4|http://unitsofmeasure.org|mg"
    parts = [unescape(part) for part in split(text, "|")]
    if len(parts) not in (1, 3):
        raise bad(parameter, expected)
    system, code = parts[1:] if len(parts) == 3 else ("", "")
    return QuantityIs(_number(parameter, parts[0], expected), system or None, code or None)


def in_canonical_units(test: QuantityIs) -> QuantityIs | None:
    """Return the test for rows in canonical units; None when its unit is none of UCUM's that converts."""
    canonical = unit(test.unit) if test.system == UCUM and test.unit else None
    if canonical is None:
        return None
    number = test.number
    value, lo, hi = (canonical.convert(each) for each in (number.value, number.lo, number.hi))
    # Rounding may bring the ends together; the span must still hold the value itself.
    hi = min(max(hi, math.nextafter(value, math.inf)), LARGEST)
    return QuantityIs(NumberIs(number.prefix, value, lo, hi), None, canonical.canonical)


def near(parameter: Parameter, text: str, _: Options) -> Near:
    """Read ``latitude|longitude|distance|unit``; without a distance 10 km, without a unit kilometres.

    https://hl7.org/fhir/R4/location.html#search
    """
    expected = "latitude|longitude|distance|unit, such as 30.66|104.06|10|km (degrees; a UCUM unit of length)"
    parts = [unescape(part).strip() for part in split(text, "|")]
    if not 2 <= len(parts) <= 4 or not all(_NUMBER.fullmatch(each) for each in parts[:2]):
        raise bad(parameter, expected)
    written, code = (*parts[2:], "", "")[:2]
    length = unit(code or "km")
    if not _NUMBER.fullmatch(written or "10") or length is None or length.canonical != "m":
        raise bad(parameter, expected)
    latitude, longitude = (float(each) for each in parts[:2])
    metres = length.convert(float(written or "10"))
    if abs(latitude) > 90 or abs(longitude) > 180 or metres < 0:
        raise bad(parameter, expected)
    return Near(latitude, longitude, min(metres, HALF_WAY_ROUND))


def _prefixed(text: str) -> tuple[Prefix, str]:
    match = _PREFIXED.fullmatch(text.strip())
    assert match is not None  # both groups may be empty
    return cast("Prefix", match[1] or "eq"), match[2]


def _number(parameter: Parameter, text: str, expected: str) -> NumberIs:
    """Read a number: its digits say how precise it is; ``ap`` widens it to a tenth of itself."""
    prefix, written = _prefixed(text)
    if not _NUMBER.fullmatch(written):
        raise bad(parameter, expected)
    value = _EXACT.create_decimal(written)
    half = Decimal((0, (5,), cast("int", value.as_tuple().exponent) - 1))
    margin = max(half, _EXACT.multiply(abs(value), Decimal("0.1"))) if prefix == "ap" else half
    nearest = _float(value)
    # Floats are coarser than forty digits: the span must hold at least the nearest float itself.
    lo = min(nearest, _float(_EXACT.subtract(value, margin)))
    hi = max(math.nextafter(nearest, math.inf), _float(_EXACT.add(value, margin)))
    return NumberIs(prefix, nearest, lo, min(hi, LARGEST))


def _float(value: Decimal) -> float:
    return max(-LARGEST, min(LARGEST, float(value)))


def references(parameter: Parameter, type_: str, items: Sequence[str], options: Options) -> ReferenceIs:
    """Read ``id``, ``Type/id`` or a URL, any of several; ``type_``: the modifier ``:Type``, "" without one.

    An id alone may be of every type that the parameter leads to. https://hl7.org/fhir/R4/search.html#reference
    """
    found: dict[str, None] = {}
    for item in items:
        found.update(dict.fromkeys(_targets(parameter, type_, unescape(item), options.base)))
    return ReferenceIs(tuple(found))


def _targets(parameter: Parameter, type_: str, text: str, base: str) -> list[str]:
    target = local(text, base)
    if target is not None and ":" in target:
        return [target]
    named, _, id_ = (target or "").rpartition("/")
    types = (named or type_,) if named or type_ else parameter.targets
    if (
        not _ID.fullmatch(id_)
        or (named and named not in RESOURCE_TYPES)
        or (named and type_ not in ("", named))
    ):
        raise bad(parameter, f"an id, {type_ or (parameter.targets or ('Patient',))[0]}/id or a URL")
    return [f"{each}/{id_}" for each in types]


TERMS: Mapping[str, Callable[[Parameter, str, Options], Test]] = MappingProxyType(
    {
        "token": token,
        "string": string,
        "uri": uri,
        "date": date,
        "number": number,
        "quantity": quantity,
        "special": near,
    }
)
"""How one value of each type of parameter is read; references are read together (:func:`references`)."""
