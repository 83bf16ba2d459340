"""FHIRPath functions on single values: conversion, strings, mathematics, time.

http://hl7.org/fhirpath/N1/#conversion
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal, DecimalException
from typing import Any

from fhir_server import clock
from fhir_server.resources.fhirpath import regex, values
from fhir_server.resources.fhirpath.ast import FhirPathError
from fhir_server.resources.fhirpath.node import Node, system
from fhir_server.resources.fhirpath.operators import boolean, single, whole
from fhir_server.resources.fhirpath.registry import function
from fhir_server.resources.fhirpath.scope import Closure, Items, Scope

_TRUE = frozenset({"true", "t", "yes", "y", "1", "1.0"})
_FALSE = frozenset({"false", "f", "no", "n", "0", "0.0"})
_INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?\d{1,100}(?:\.\d{1,100})?", re.ASCII)
_QUANTITY = re.compile(r"([+-]?\d{1,100}(?:\.\d{1,100})?)\s*(?:'([^']+)'|([a-zA-Z]+))?", re.ASCII)
_LONGEST = 1_000_000


def _to_boolean(value: Any) -> bool | None:
    if type(value) is bool:
        return value
    if values.number(value) is not None:
        return True if value == 1 else False if value == 0 else None
    text = value.lower() if type(value) is str else ""
    return True if text in _TRUE else False if text in _FALSE else None


def _to_integer(value: Any) -> int | None:
    if type(value) in (int, bool):
        return int(value)
    return int(value) if type(value) is str and _INTEGER.fullmatch(value) else None


def _to_decimal(value: Any) -> Decimal | None:
    if type(value) in (int, bool, Decimal):
        return Decimal(value)
    return Decimal(value) if type(value) is str and _DECIMAL.fullmatch(value) else None


def _to_string(value: Any) -> str | None:
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is dict and "value" in value:
        return f"{value['value']} '{values.unit_of(value)}'"
    return str(value) if type(value) in (str, int, Decimal) else None


def _moment(value: Any, *, time: bool, cut: int | None = None) -> str | None:
    read = values.moment(value)
    if read is None or read.is_time != time or (not time and read.bounds() is None):
        return None
    return value[:cut] if cut else str(value)


def _to_quantity(value: Any) -> dict[str, Any] | None:
    if type(value) in (int, Decimal, bool):
        return {"value": Decimal(value), "unit": "1"}
    if type(value) is dict:
        return value if "value" in value else None
    match = _QUANTITY.fullmatch(value) if type(value) is str else None
    return {"value": Decimal(match[1]), "unit": match[2] or match[3] or "1"} if match else None


_CONVERSIONS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "Boolean": (_to_boolean, "System.Boolean"),
    "Integer": (_to_integer, "System.Integer"),
    "Decimal": (_to_decimal, "System.Decimal"),
    "String": (_to_string, "System.String"),
    "Date": (lambda value: _moment(value, time=False, cut=10), "System.Date"),
    "DateTime": (lambda value: _moment(value, time=False), "System.DateTime"),
    "Time": (lambda value: _moment(value, time=True), "System.Time"),
    "Quantity": (_to_quantity, "System.Quantity"),
}


def _enter_conversion(name: str, convert: Callable[[Any], Any], type_name: str) -> None:
    @function("to" + name, 0, 1 if name == "Quantity" else 0)
    def _to(_: Scope, items: Items, *__: Closure) -> Items:
        item = single(items)
        value = None if item is None else convert(item.value)
        return [] if value is None else [Node(value, type_name)]

    @function("convertsTo" + name, 0, 1 if name == "Quantity" else 0)
    def _converts(_: Scope, items: Items, *__: Closure) -> Items:
        item = single(items)
        return [] if item is None else boolean(convert(item.value) is not None)


for _name, (_convert, _type) in _CONVERSIONS.items():
    _enter_conversion(_name, _convert, _type)


def _string(items: Items) -> str | None:
    item = single(items)
    return item.value if item is not None and type(item.value) is str else None


def _number(items: Items) -> Decimal | int | None:
    item = single(items)
    return None if item is None else values.number(item.value)


def _enter_text(name: str, run: Callable[..., Any], least: int = 0, most: int | None = None) -> None:
    """Enter a function of a string (and strings as arguments); nothing when any of them is missing."""

    @function(name, least, most)
    def _text(scope: Scope, items: Items, *arguments: Closure) -> Items:
        text = _string(items)
        given = [_string(argument(scope)) for argument in arguments]
        if text is None or None in given:
            return []
        result = run(text, *given)
        return [system(each) for each in (result if type(result) is list else [result])]


def _replaced(text: str, old: str, new: str) -> str:
    if len(text) + text.count(old) * len(new) > _LONGEST:
        raise FhirPathError("the text that would come out is too long")
    return text.replace(old, new)


def _split(text: str, separator: str) -> list[str]:
    return text.split(separator) if separator else list(text)


_enter_text("startsWith", str.startswith, 1)
_enter_text("endsWith", str.endswith, 1)
_enter_text("contains", lambda text, part: part in text, 1)
_enter_text("indexOf", str.find, 1)
_enter_text("upper", str.upper)
_enter_text("lower", str.lower)
_enter_text("trim", str.strip)
_enter_text("length", len)
_enter_text("toChars", list)
_enter_text("replace", _replaced, 2)
_enter_text("split", _split, 1)


@function("substring", 1, 2)
def _substring(scope: Scope, items: Items, start: Closure, length: Closure | None = None) -> Items:
    text, first = _string(items), _number(start(scope))
    count = _number(length(scope)) if length else None
    if text is None or type(first) is not int or not 0 <= first < len(text):
        return []
    return [system(text[first:] if type(count) is not int else text[first : first + max(0, count)])]


@function("join", 0, 1)
def _join(scope: Scope, items: Items, separator: Closure | None = None) -> Items:
    glue = (_string(separator(scope)) or "") if separator else ""
    texts = [item.value for item in items if type(item.value) is str]
    if sum(map(len, texts)) + len(glue) * len(texts) > _LONGEST:
        raise FhirPathError("the text that would come out is too long")
    return [system(glue.join(texts))] if items else []


def _matches(scope: Scope, items: Items, expression: Closure, form: str) -> Items:
    text, wanted = _string(items), _string(expression(scope))
    if text is None or wanted is None:
        return []
    return boolean(regex.pattern(form % wanted, trusted=scope.run.trusted).matches(text))


@function("matches", 1)
def _matches_part(scope: Scope, items: Items, expression: Closure) -> Items:
    return _matches(scope, items, expression, "%s")


@function("matchesFull", 1)
def _matches_full(scope: Scope, items: Items, expression: Closure) -> Items:
    return _matches(scope, items, expression, r"\A(?:%s)\Z")


@function("replaceMatches", 2)
def _replace_matches(scope: Scope, items: Items, expression: Closure, new: Closure) -> Items:
    text, wanted, substitute = _string(items), _string(expression(scope)), _string(new(scope))
    if text is None or wanted is None or substitute is None:
        return []
    if (len(text) + 1) * len(substitute) > _LONGEST:
        raise FhirPathError("the text that would come out is too long")
    return [system(regex.pattern(wanted, trusted=scope.run.trusted).replace(text, substitute))]


def _rounded(mode: str) -> Callable[[Decimal], Any]:
    return lambda value: whole(value.to_integral_value(mode)) if whole(value) is not None else None


def _logarithm(value: Decimal, base: Decimal) -> Decimal | None:
    return value.ln() / base.ln() if value > 0 and base > 0 and base != 1 else None


def _power(value: Decimal, exponent: Decimal) -> Decimal | int | None:
    result = value**exponent
    return whole(result) if result == result.to_integral_value() and abs(result) < 10**18 else result


def _enter_mathematics(name: str, run: Callable[..., Any], least: int = 0, most: int | None = None) -> None:
    """Enter a function of a number (and numbers as arguments); nothing when the result is no number."""

    @function(name, least, most)
    def _calculated(scope: Scope, items: Items, *arguments: Closure) -> Items:
        numbers = [_number(items), *(_number(argument(scope)) for argument in arguments)]
        if None in numbers:
            return []
        try:
            result = run(*(Decimal(each) for each in numbers if each is not None))
        except (DecimalException, ValueError):
            return []
        return [] if result is None or not math.isfinite(result) else [system(result)]


_enter_mathematics("ceiling", _rounded(ROUND_CEILING))
_enter_mathematics("floor", _rounded(ROUND_FLOOR))
_enter_mathematics("truncate", whole)
_enter_mathematics("exp", Decimal.exp)
_enter_mathematics("ln", lambda value: value.ln() if value > 0 else None)
_enter_mathematics("log", _logarithm, 1)
_enter_mathematics("power", _power, 1)
_enter_mathematics("sqrt", lambda value: value.sqrt() if value >= 0 else None)


@function("abs")
def _abs(_: Scope, items: Items) -> Items:
    item = single(items)
    if item is not None and values.is_quantity(item):
        amount = values.number(item.value.get("value"))
        return [] if amount is None else [Node({**item.value, "value": abs(amount)}, item.type_name)]
    value = _number(items)
    return [] if value is None else [system(abs(value))]


@function("round", 0, 1)
def _round(scope: Scope, items: Items, precision: Closure | None = None) -> Items:
    value, digits = _number(items), _number(precision(scope)) if precision else 0
    if value is None or type(digits) is not int or not 0 <= digits <= 28:
        return []
    try:
        return [system(Decimal(value).quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP))]
    except DecimalException:
        return []


@function("now")
def _now(scope: Scope, _: Items) -> Items:
    return [Node(clock.instant(scope.run.moment_ms()), "System.DateTime")]


@function("today")
def _today(scope: Scope, _: Items) -> Items:
    return [Node(clock.instant(scope.run.moment_ms())[:10], "System.Date")]


@function("timeOfDay")
def _time_of_day(scope: Scope, _: Items) -> Items:
    return [Node(clock.instant(scope.run.moment_ms())[11:23], "System.Time")]
