"""Custom search parameters: a SearchParameter resource becomes a parameter of the registry.

https://hl7.org/fhir/R4/searchparameter.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, get_args

import msgspec

from fhir_server.faults import Issue
from fhir_server.resources.types import RESOURCE_TYPES
from fhir_server.search.generate import sources
from fhir_server.search.parameters import Custom, Parameter, Type, by_url, parameters

Tree = dict[str, Any]

_UNSUPPORTED = frozenset({"composite", "special"})
_TYPES = tuple(each for each in get_args(Type) if each not in _UNSUPPORTED)
_MOST_CHARACTERS = 2000
_MOST_PARENTHESES = 64
_fits_code = re.compile(r"[A-Za-z][A-Za-z0-9\-_]{0,63}").fullmatch


def problems(tree: Tree) -> list[Issue]:
    """Say why a valid SearchParameter cannot be searched by; [] when it can, or is not meant to be.

    A retired one, R4's own, and one that is derived from R4's parameter of the same code are no custom
    parameters: they are stored and change nothing.
    """
    if tree.get("status") == "retired" or _is_known(tree):
        return []
    found = [*_code(tree), *_type(tree), *_bases(tree)]
    return found or _expression(tree)


def compiled(tree: Tree) -> Custom | None:
    """Return the custom parameter that an active SearchParameter defines; None when it defines none."""
    if tree.get("status") != "active" or _is_known(tree) or problems(tree):
        return None
    return Custom(_parameter(tree), tuple(tree["base"]))


def _is_known(tree: Tree) -> bool:
    if tree.get("url") in by_url():
        return True
    origin = by_url().get(str(tree.get("derivedFrom")).partition("|")[0])
    return origin is not None and origin.code == tree.get("code")


def _parameter(tree: Tree) -> Parameter:
    targets = tuple(each for each in tree.get("target", ()) if each in RESOURCE_TYPES)
    if tree["type"] == "reference" and not targets:
        targets = tuple(sorted(RESOURCE_TYPES))
    return Parameter(tree["code"], tree["type"], tree["url"], tree["expression"], targets)


def _code(tree: Tree) -> list[Issue]:
    code = tree.get("code", "")
    if not _fits_code(code):
        return [_issue("code", "The code is a letter, then up to 63 letters, digits, - or _.")]
    taken = [base for base in tree.get("base", ()) if base in RESOURCE_TYPES and code in parameters(base)]
    if taken:
        return [_issue("code", f"R4 has a search parameter {code} of {taken[0]}; choose another code.")]
    return []


def _type(tree: Tree) -> list[Issue]:
    if tree.get("type") in _UNSUPPORTED:
        return [_issue("type", f"This server takes custom parameters of type {', '.join(_TYPES)}.")]
    return []


def _bases(tree: Tree) -> list[Issue]:
    if all(base in RESOURCE_TYPES for base in tree.get("base", ())):
        return []
    return [
        _issue("base", "Name the resource types one by one; Resource and DomainResource are no base here.")
    ]


def _expression(tree: Tree) -> list[Issue]:
    text = tree.get("expression")
    if not text:
        return [_issue("expression", "An expression is needed: it says which elements are searched.")]
    if len(text) > _MOST_CHARACTERS or text.count("(") > _MOST_PARENTHESES:
        return [_issue("expression", "The expression is too long; divide it into several parameters.")]
    parameter = _parameter(tree)
    for base in tree["base"]:
        try:
            found = sources(parameter, base)
        except (ValueError, KeyError):  # an ExpressionError, or an index or a type that is none
            words = (
                "The expression cannot be used here. It may have unions, members, ofType(T), as(T), "
                "where(member = 'text'), where(resolve() is T), extension('url') and [index]."
            )
            return [_issue("expression", words)]
        if not found:
            words = f"The expression leads to no element of {base} that a {parameter.type} can search."
            return [_issue("expression", words)]
    return []


def _issue(element: str, words: str) -> Issue:
    return Issue("error", "business-rule", words, (f"SearchParameter.{element}",))


@dataclass(frozen=True, slots=True)
class _Written:
    url: str
    code: str
    type: Type
    expression: str
    base: tuple[str, ...]
    target: tuple[str, ...]
    active: bool


_decode = msgspec.json.Decoder(tuple[_Written, ...]).decode


def write(custom: Iterable[Custom]) -> bytes:
    """Write a set of custom parameters as text that a store keeps."""
    rows = [
        _Written(p.url, p.code, p.type, p.expression, each.base, p.targets, each.is_active)
        for each in custom
        for p in (each.parameter,)
    ]
    return msgspec.json.encode(rows)


def read(text: bytes) -> tuple[Custom, ...]:
    """Read what :func:`write` wrote; b"" is the empty set."""
    return tuple(
        Custom(Parameter(row.code, row.type, row.url, row.expression, row.target), row.base, row.active)
        for row in (_decode(text) if text else ())
    )
