"""Quantities in comparable units: every UCUM unit as a factor of its canonical unit.

The grammar and UCUM's own table of units (its "essence") are those of the library ucumvert; both are read on
first use. Conversion is exact: factors are fractions, and a float stands for the decimal that it prints as.
https://hl7.org/fhir/R4/search.html#quantity and https://ucum.org/ucum
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cache, lru_cache
from typing import Any

UCUM = "http://unitsofmeasure.org"

_LARGEST = sys.float_info.max
_LONGEST_CODE = 64
_HIGHEST_POWER = 32
_OWN_DIMENSION = frozenset({"mol"})
"""UCUM counts particles as pure numbers; then 1 mol would be 6.022e23 of anything. Nobody searches so."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit: a quantity of it is ``value * factor + offset`` in the unit ``canonical``."""

    canonical: str
    factor: Fraction
    offset: Fraction

    def convert(self, value: float) -> float:
        """Return the float nearest to ``value`` in the canonical unit; open ends and overflow stay ±largest.

        Never decreases as ``value`` grows, so that comparisons come out as before the conversion.
        """
        if abs(value) >= _LARGEST:
            return value
        # repr gives the shortest decimal that means the float: the digits that the record was written with.
        above, below = Decimal(repr(value)).as_integer_ratio()
        factor, offset = self.factor, self.offset
        above, below = above * factor.numerator, below * factor.denominator
        if offset:
            above, below = above * offset.denominator + offset.numerator * below, below * offset.denominator
        try:
            return above / below
        except OverflowError:
            return _LARGEST if above > 0 else -_LARGEST


@lru_cache(maxsize=4096)
def unit(code: str) -> Unit | None:
    """Return the unit of a UCUM code; None for what is no UCUM code, or none that converts by a factor.

    Units that UCUM calls arbitrary ([iU], [arb'U], …) are each a dimension of their own: they compare with
    themselves alone. Logarithmic units (pH, dB) have no factor. Annotations ({beats}) mean nothing.
    """
    if not 0 < len(code) <= _LONGEST_CODE or not code.isascii():
        return None
    special = _SPECIAL.get(code)
    if special is not None:
        return special
    try:
        size, dimensions = _reader()(code)
    except _NotLinear:
        return None
    return Unit(_name(dimensions), size, Fraction(0))


_SPECIAL: Mapping[str, Unit] = {
    "Cel": Unit("K", Fraction(1), Fraction("273.15")),
    "[degF]": Unit("K", Fraction(5, 9), Fraction("459.67") * Fraction(5, 9)),
    "[degRe]": Unit("K", Fraction(5, 4), Fraction("273.15")),
}
"""Scales whose zero lies elsewhere; UCUM allows them on their own only. https://ucum.org/ucum#para-21"""

_Dimensions = Mapping[str, int]
_Size = tuple[Fraction, _Dimensions]
_ONE: _Size = (Fraction(1), {})


class _NotLinear(ValueError):
    """The code is no UCUM unit, or none with a factor."""


def _name(dimensions: _Dimensions) -> str:
    """Write base units with their exponents in one order: ``g.m-3``; "1" for a pure number."""
    powers = sorted((symbol, power) for symbol, power in dimensions.items() if power)
    return ".".join(symbol if power == 1 else f"{symbol}{power}" for symbol, power in powers) or "1"


def _times(left: _Size, right: _Size, sign: int = 1) -> _Size:
    """Multiply two sizes, or divide the first by the second (``sign`` -1)."""
    dimensions = dict(left[1])
    for symbol, power in right[1].items():
        dimensions[symbol] = dimensions.get(symbol, 0) + sign * power
    return left[0] * right[0] ** sign, dimensions


@cache
def _reader() -> Callable[[str], _Size]:
    """Load the library; return the function that sizes a UCUM code. Takes a quarter of a second, once."""
    from lark.exceptions import LarkError  # noqa: PLC0415 - loaded when the first unit is met
    from ucumvert.parser import get_ucum_parser  # noqa: PLC0415
    from ucumvert.xml_util import root  # noqa: PLC0415

    parser, essence = get_ucum_parser(), _Essence(root)

    def read(code: str) -> _Size:
        try:
            return _evaluate(parser.parse(code), essence)
        except LarkError:
            raise _NotLinear(code) from None

    essence.read = read
    return read


class _Essence:
    """UCUM's table: prefixes, base units, and units defined by others."""

    def __init__(self, root: Any) -> None:
        self.read: Callable[[str], _Size] = lambda _: _ONE
        self._atoms: dict[str, _Size] = {}
        self._units = {each.get("Code"): each for each in root.iterfind("{*}unit")}
        self.prefixes = {
            each.get("Code"): Fraction(each.find("{*}value").get("value"))
            for each in root.iterfind("{*}prefix")
        }
        for each in root.iterfind("{*}base-unit"):
            self._atoms[each.get("Code")] = Fraction(1), {each.get("Code"): 1}

    def atom(self, symbol: str) -> _Size:
        """Return the size of a unit without prefix; one defined by another leads there."""
        known = self._atoms.get(symbol)
        if known is None:
            known = self._atoms[symbol] = self._defined(symbol)
        return known

    def _defined(self, symbol: str) -> _Size:
        entry = self._units[symbol]
        value = entry.find("{*}value")
        is_alias = value.get("Unit") in self._units
        if symbol in _OWN_DIMENSION or (entry.get("isArbitrary") == "yes" and not is_alias):
            return Fraction(1), {symbol: 1}
        if entry.get("isSpecial") == "yes":
            raise _NotLinear(symbol)
        size, dimensions = self.read(value.get("Unit"))
        return size * Fraction(value.get("value")), dimensions


def _evaluate(node: Any, essence: _Essence) -> _Size:
    """Size one node of the parsed code. Its kinds and tokens are named by the grammar of ucumvert."""
    match getattr(node, "data", "annotation"), getattr(node, "children", []):
        case "simple_unit", tokens:
            return _simple(tokens, essence)
        case "annotatable", [unit_, power]:
            return _power(_evaluate(unit_, essence), int(power))
        case "term", [left, operator, right]:
            sign = -1 if operator == "/" else 1
            return _times(_evaluate(left, essence), _evaluate(right, essence), sign)
        case "main_term", [_, below]:
            return _times(_ONE, _evaluate(below, essence), -1)
        case _, [inner, *_]:  # what an annotation stands behind, or parentheses
            return _evaluate(inner, essence)
        case _:
            return _ONE


def _power(size: _Size, power: int) -> _Size:
    if abs(power) > _HIGHEST_POWER:
        raise _NotLinear
    return size[0] ** power, {symbol: each * power for symbol, each in size[1].items()}


def _simple(tokens: list[Any], essence: _Essence) -> _Size:
    last = tokens[-1]
    if last.type == "FACTOR":
        return Fraction(int(last)), {}
    size, dimensions = essence.atom(str(last))
    if len(tokens) == 2:
        size *= essence.prefixes[str(tokens[0])]
    return size, dimensions
