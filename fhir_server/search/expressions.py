"""The path of a search parameter through a type: the part of FHIRPath that R4's search expressions use.

Unions, members, ``ofType(T)``, ``(… as T)``, ``where(resolve() is T)``, ``where(member='text')``, ``[0]`` and
``extension('url')``, which only custom parameters use; walked over the type table, so that each path ends in
one known type.
https://hl7.org/fhir/R4/searchparameter.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TypeAlias

from fhir_server.resources.types import RESOURCE_TYPES, definitions


@dataclass(frozen=True, slots=True)
class Get:
    """Go to the JSON property ``key``; ``many``: it is an array; ``index``: only this item of it."""

    key: str
    many: bool
    index: int | None = None


@dataclass(frozen=True, slots=True)
class Equals:
    """Stay only where the property ``key`` equals ``text``."""

    key: str
    text: str


@dataclass(frozen=True, slots=True)
class Refers:
    """Stay only at a Reference to a resource of ``type``."""

    type: str


Step: TypeAlias = Get | Equals | Refers


@dataclass(frozen=True, slots=True)
class Path:
    """Steps from the resource to an element, and that element's type (``Resource`` for a nested one)."""

    steps: tuple[Step, ...]
    type: str

    @property
    def is_single(self) -> bool:
        """True when at most one element can stand at the end."""
        return not any(isinstance(step, Get) and step.many and step.index is None for step in self.steps)


_MOST_PATHS = 500
"""Each choice of types multiplies the paths; R4's own parameters have at most a few dozen."""


class ExpressionError(ValueError):
    """The expression uses something beyond the grammar of this module."""


def paths(expression: str, type_: str) -> tuple[Path, ...]:
    """Return the paths that ``expression`` takes from a resource of type ``type_``, each once, in order.

    Parts of a union that start at another type yield nothing. Raises :class:`ExpressionError`.
    """
    walker = _Walker(expression, type_)
    found = walker.union()
    walker.expect("")
    return tuple(dict.fromkeys(found))


_TOKEN = re.compile(r"\s*(?:([A-Za-z]\w*)|'([^']*)'|(\d+)|([()|.=\[\]]))\s*")


def _tokens(expression: str) -> list[str]:
    """Split into names, quoted texts (the opening quote kept as a mark), numbers and signs; "" at the end."""
    tokens, at = [], 0
    while at < len(expression):
        match = _TOKEN.match(expression, at)
        if match is None:
            raise ExpressionError(expression)
        name, text, number, sign = match.groups()
        tokens.append("'" + text if text is not None else name or number or sign)
        at = match.end()
    return [*tokens, ""]


class _Walker:
    """One pass over the tokens that carries the paths found so far; the grammar is in the methods' order."""

    def __init__(self, expression: str, type_: str) -> None:
        self._expression = expression
        self._type = type_
        self._tokens = _tokens(expression)
        self._at = 0

    def union(self) -> list[Path]:
        found = self._path()
        while self._take("|"):
            found += self._path()
        return found

    def expect(self, token: str) -> None:
        if not self._take(token):
            raise ExpressionError(self._expression)

    def _path(self) -> list[Path]:
        if self._take("("):
            found = self.union()
            self.expect(")")
        else:
            found = self._root(self._next())
        while True:
            if self._take("."):
                found = self._member(found, self._next())
            elif self._take("["):
                found = _indexed(found, int(self._next()))
                self.expect("]")
            elif self._take("as"):
                found = _of_type(found, self._next())
            else:
                return found

    def _root(self, name: str) -> list[Path]:
        if name in (self._type, "Resource", "DomainResource"):
            return [Path((), self._type)]
        if name in RESOURCE_TYPES:
            return []
        return _child([Path((), self._type)], name)

    def _member(self, found: list[Path], name: str) -> list[Path]:
        if not self._take("("):
            return _child(found, name)
        if name in ("as", "ofType"):
            found = _of_type(found, self._next())
        elif name == "where" and self._take("resolve"):
            for token in ("(", ")", "is"):
                self.expect(token)
            found = _refining(found, Refers(self._next()))
        elif name == "where":
            key = self._next()
            self.expect("=")
            found = _refining(found, Equals(key, self._next().removeprefix("'")))
        elif name == "extension":
            found = _refining(_child(found, name), Equals("url", self._next().removeprefix("'")))
        else:
            raise ExpressionError(self._expression)
        self.expect(")")
        return found

    def _next(self) -> str:
        token = self._tokens[self._at]
        if not token:
            raise ExpressionError(self._expression)
        self._at += 1
        return token

    def _take(self, token: str) -> bool:
        if self._tokens[self._at] != token:
            return False
        self._at += bool(token)
        return True


def _child(found: list[Path], name: str) -> list[Path]:
    """Go to the element ``name``: one path for each type that a choice allows."""
    children = []
    for path in found:
        for element in definitions()[path.type].elements:
            if element.name == name:
                children += [
                    Path((*path.steps, Get(element.key(type_), element.is_list)), type_)
                    for type_ in element.types
                ]
    if len(children) > _MOST_PATHS:
        raise ExpressionError(name)
    return children


def _of_type(found: list[Path], type_: str) -> list[Path]:
    return [path for path in found if path.type == type_]


def _refining(found: list[Path], step: Step) -> list[Path]:
    return [replace(path, steps=(*path.steps, step)) for path in found]


def _indexed(found: list[Path], index: int) -> list[Path]:
    """Narrow the last step of each path to one item of its array."""
    return [
        replace(path, steps=(*path.steps[:-1], replace(path.steps[-1], index=index)))
        for path in found
        if path.steps and isinstance(path.steps[-1], Get)
    ]
