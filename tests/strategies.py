"""Hypothesis strategies: resources of every R4 type in valid shape, made from the definitions.

Shape means what the type table knows: elements, cardinalities, one type per choice, formats of primitives,
required bindings. Invariants and reference targets are not minded.
"""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from fhir_server.resources.types import PRIMITIVES, RESOURCE_TYPES, Element, definitions, value_sets

MAX_DEPTH = 4
"""Below this level of objects only what must be there is made."""

_DATE = st.dates().map(lambda day: f"{day.year:04}-{day:%m-%d}")
_TIME = st.times().map(lambda time: time.replace(microsecond=time.microsecond // 1000 * 1000).isoformat())
_ZONE = st.sampled_from(["Z", "+08:00", "-05:30"])
_INSTANT = st.builds("{}T{}{}".format, _DATE, _TIME, _ZONE)
_LETTERS = st.characters(
    exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp"),
    exclude_characters="\ufffe\uffff",
    max_codepoint=0x1FFFF,
)
_WORD = st.text(_LETTERS, min_size=1, max_size=6)
_STRING = st.lists(_WORD, min_size=1, max_size=3).map(" ".join) | st.just('a\n"<&>\tb')
_URI = st.sampled_from(
    ["http://a.example/x", "urn:oid:1.2.3", "urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7"]
)
_INNER = st.sampled_from(
    ["x", "a &lt; b &amp; c", "<p class='c'>&#160;é王</p>", "<br/>", "<b><i>x</i></b>\n"]
)
_XHTML = st.lists(_INNER, min_size=1, max_size=3).map(
    lambda parts: f'<div xmlns="http://www.w3.org/1999/xhtml">{"".join(parts)}</div>'
)

PRIMITIVE: dict[str, SearchStrategy[Any]] = {
    "base64Binary": st.sampled_from(["AAAA", "aGVsbG8=", "5L2g5aW9"]),
    "boolean": st.booleans(),
    "canonical": _URI | _URI.map("{}|1.0".format),
    "code": st.sampled_from(["a", "a-b", "a b", "1"]),
    "date": _DATE | st.sampled_from(["2026", "2026-02"]),
    "dateTime": _DATE | _INSTANT | st.sampled_from(["2026", "2026-02"]),
    "decimal": st.integers(-(10**20), 10**20)
    | st.decimals(-(10**20), 10**20, places=3)
    | st.sampled_from(
        [Decimal("1.10"), Decimal("0.00"), Decimal("1E+2"), Decimal("1.5E-7"), Decimal("-0.5")]
    ),
    "id": st.text("Aa1-.", min_size=1, max_size=8),
    "instant": _INSTANT,
    "integer": st.integers(-(2**31), 2**31 - 1),
    "markdown": _STRING,
    "oid": st.just("urn:oid:1.2.3"),
    "positiveInt": st.integers(1, 2**31 - 1),
    "string": _STRING,
    "time": _TIME,
    "unsignedInt": st.integers(0, 2**31 - 1),
    "uri": _URI,
    "url": _URI,
    "uuid": st.just("urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7"),
    "xhtml": _XHTML,
}
"""A strategy for the JSON value of each primitive type."""

_SIMPLE_VALUES = ("valueString", "valueBoolean", "valueDecimal", "valueUri", "valueCoding")


@st.composite
def resources(draw: DrawFn, type_: str | None = None) -> dict[str, Any]:
    """Draw one resource of ``type_``, or of any type: small, valid in shape, as ``codec.decode`` gives it."""
    name = type_ or draw(st.sampled_from(sorted(RESOURCE_TYPES)))
    return _resource(draw, name, 0)


def _resource(draw: DrawFn, name: str, depth: int) -> dict[str, Any]:
    return {"resourceType": name, **_object(draw, name, depth)}


def _object(draw: DrawFn, type_: str, depth: int) -> dict[str, Any]:
    if type_ == "Extension":
        return _extension(draw)
    required, optional = _elements(type_)
    tree: dict[str, Any] = {}
    wanted = (
        draw(st.lists(st.sampled_from(optional), max_size=4, unique=True))
        if depth < MAX_DEPTH and optional
        else []
    )
    if not required and not wanted:
        wanted = [element for element in optional if element.name == "id"]
    for element in (*required, *wanted):
        _element(draw, tree, element, depth)
    return tree


@cache
def _elements(type_: str) -> tuple[tuple[Element, ...], tuple[Element, ...]]:
    elements = definitions()[type_].elements
    return tuple(e for e in elements if e.min), tuple(e for e in elements if not e.min and e.max != "0")


def _element(draw: DrawFn, tree: dict[str, Any], element: Element, depth: int) -> None:
    types = (
        element.types if depth < MAX_DEPTH else [t for t in element.types if t in PRIMITIVES] or element.types
    )
    type_ = draw(st.sampled_from(types))
    key = element.key(type_)
    if not element.is_list:
        value, extra = _value(draw, element, type_, depth)
        _put(tree, key, value, extra)
        return
    most = 3 if element.max == "*" else min(3, int(element.max))
    count = draw(st.integers(max(1, element.min), max(most, element.min)))
    pairs = [_value(draw, element, type_, depth) for _ in range(count)]
    values, extras = [value for value, _ in pairs], [extra for _, extra in pairs]
    _put(
        tree,
        key,
        values if any(value is not None for value in values) else None,
        extras if any(extra is not None for extra in extras) else None,
    )


def _put(tree: dict[str, Any], key: str, value: Any, extra: Any) -> None:
    if value is not None:
        tree[key] = value
    if extra is not None:
        tree[f"_{key}"] = extra


def _value(draw: DrawFn, element: Element, type_: str, depth: int) -> tuple[Any, dict[str, Any] | None]:
    """Draw (value, id and extensions); one of them may be None for a primitive, never both."""
    if type_ == "Resource":
        return _resource(
            draw, draw(st.sampled_from(["Basic", "Binary", "Patient"])), max(depth + 1, MAX_DEPTH)
        ), None
    if type_ not in PRIMITIVES:
        return _object(draw, type_, depth + 1), None
    value = draw(_primitive(element.binding if type_ == "code" else None, type_))
    if element.name in {"id", "url", "div"} or draw(st.integers(0, 9)):
        return value, None
    extra: dict[str, Any] = draw(
        st.sampled_from([{"id": "e1"}, {"extension": [{"url": "http://a.example/e", "valueCode": "x"}]}])
    )
    return (value if draw(st.booleans()) else None), extra


@cache
def _primitive(binding: str | None, type_: str) -> SearchStrategy[Any]:
    codes = sorted(code for found in value_sets().get(binding or "", {}).values() for code in found)
    return st.sampled_from(codes) if codes else PRIMITIVE[type_]


def _extension(draw: DrawFn) -> dict[str, Any]:
    key = draw(st.sampled_from(_SIMPLE_VALUES))
    value = {"code": "x"} if key == "valueCoding" else draw(PRIMITIVE[key[5:].lower()])
    return {"url": "http://a.example/e", key: value}
