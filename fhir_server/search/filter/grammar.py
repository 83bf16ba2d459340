"""The grammar of ``_filter``: text to tree, and tree to text.

::

    filter   = paramExp / logExp / "not" "(" filter ")" / "(" filter ")"
    logExp   = filter ("and" / "or") filter          from left to right, neither binds closer
    paramExp = path SP operator SP value             value: a JSON string, or a run without blanks, ) and ]
    path     = name [ "[" filter "]" ] [ "." path ]  name: of a search parameter, :Type after a reference

https://hl7.org/fhir/R4/search_filter.html
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

from fhir_server.faults import Fault, Kind

OPERATORS = (
    "eq", "ne", "co", "sw", "ew", "gt", "lt", "ge", "le", "ap", "sa", "eb", "pr", "po", "ss", "sb", "in",
    "ni", "re",
)  # fmt: skip

_MOST_COMPARISONS = 100
_DEEPEST = 20


@dataclass(frozen=True, slots=True)
class Step:
    """One name of a path, and the filter that what it leads to must pass."""

    name: str
    within: Filter | None = None


@dataclass(frozen=True, slots=True)
class Compare:
    """``path operator value``."""

    path: tuple[Step, ...]
    operator: str
    value: str


@dataclass(frozen=True, slots=True)
class Logic:
    """``left and right`` or ``left or right``."""

    word: str
    left: Filter
    right: Filter


@dataclass(frozen=True, slots=True)
class Negation:
    """``not (inner)``."""

    inner: Filter


Filter: TypeAlias = Compare | Logic | Negation

_JSON = json.JSONDecoder()
_BLANK = re.compile(r"\s*")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(?::[A-Za-z]+)?", re.ASCII)
_WORD = re.compile(r"[A-Za-z]+", re.ASCII)
_BARE = re.compile(r"[^\s)\]]+")
_NEEDS_QUOTES = re.compile(r'[\s)\]]|\A"|\A\Z')


def parse(text: str) -> Filter:
    """Return the tree of a filter; raises a Fault that says where it cannot be read, without repeating it."""
    reader = _Reader(text)
    found = reader.filter(0)
    reader.end()
    return found


def render(tree: Filter) -> str:
    """Write a filter; ``parse(render(tree)) == tree``."""
    match tree:
        case Logic(word, left, right):
            second = render(right)
            return f"{render(left)} {word} {f'({second})' if isinstance(right, Logic) else second}"
        case Negation(inner):
            return f"not ({render(inner)})"
        case Compare(path, operator, value):
            steps = (
                step.name + (f"[{render(step.within)}]" if step.within is not None else "") for step in path
            )
            shown = json.dumps(value, ensure_ascii=False) if _NEEDS_QUOTES.search(value) else value
            return f"{'.'.join(steps)} {operator} {shown}"


class _Reader:
    """One pass over the text, from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._comparisons = 0

    def filter(self, depth: int) -> Filter:
        """Read comparisons joined by "and" and "or", as far as they go."""
        if depth > _DEEPEST:
            self._refuse(f"at most {_DEEPEST} levels of parentheses")
        found = self._operand(depth)
        while True:
            self._blank()
            word = self._peek(_WORD).lower()
            if word not in ("and", "or"):
                return found
            self._at += len(word)
            found = Logic(word, found, self._operand(depth))

    def end(self) -> None:
        """Refuse what is left over."""
        self._blank()
        if self._at < len(self._text):
            self._refuse('"and", "or" or the end')

    def _operand(self, depth: int) -> Filter:
        self._blank()
        if self._take("("):
            return self._closed(depth)
        if self._peek(_WORD).lower() == "not" and self._text[self._at + 3 : self._at + 5].lstrip()[:1] == "(":
            self._at += 3
            self._blank()
            self._expect("(")
            return Negation(self._closed(depth))
        return self._comparison(depth)

    def _closed(self, depth: int) -> Filter:
        inner = self.filter(depth + 1)
        self._blank()
        self._expect(")")
        return inner

    def _comparison(self, depth: int) -> Compare:
        self._comparisons += 1
        if self._comparisons > _MOST_COMPARISONS:
            self._refuse(f"at most {_MOST_COMPARISONS} comparisons")
        path = [self._step(depth)]
        while self._take("."):
            path.append(self._step(depth))
        self._blank()
        operator = self._peek(_WORD).lower()
        if operator not in OPERATORS:
            self._refuse(f"one of the operators {', '.join(OPERATORS)}")
        self._at += len(operator)
        self._blank()
        return Compare(tuple(path), operator, self._value())

    def _step(self, depth: int) -> Step:
        name = self._peek(_NAME)
        if not name:
            self._refuse("the name of a search parameter")
        self._at += len(name)
        if not self._take("["):
            return Step(name)
        within = self.filter(depth + 1)
        self._blank()
        self._expect("]")
        return Step(name, within)

    def _value(self) -> str:
        if self._text[self._at : self._at + 1] != '"':
            value = self._peek(_BARE)
            if not value:
                self._refuse('a value, in "quotes" if it holds blanks or brackets')
            self._at += len(value)
            return value
        try:
            found, self._at = _JSON.raw_decode(self._text, self._at)
            value = str(found)
            value.encode()
        except ValueError:  # also of a lone surrogate
            self._refuse("a whole JSON string")
        return value

    def _peek(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        return match[0] if match else ""

    def _blank(self) -> None:
        match = _BLANK.match(self._text, self._at)
        self._at = match.end() if match else self._at

    def _take(self, sign: str) -> bool:
        if not self._text.startswith(sign, self._at):
            return False
        self._at += len(sign)
        return True

    def _expect(self, sign: str) -> None:
        if not self._take(sign):
            self._refuse(f'"{sign}"')

    def _refuse(self, expected: str) -> NoReturn:
        raise Fault(
            Kind.BAD_PARAMETER,
            f"_filter cannot be read at character {self._at + 1}: it takes {expected} there.",
        )
