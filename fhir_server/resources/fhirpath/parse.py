"""Read a FHIRPath expression into its syntax tree: a Pratt parser of the full N1 grammar.

http://hl7.org/fhirpath/N1/grammar.html
"""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache

from fhir_server.resources.fhirpath.ast import (
    Binary,
    Call,
    FhirPathError,
    Index,
    Literal,
    Node,
    Special,
    Step,
    This,
    TypeOperator,
    Unary,
    Variable,
)
from fhir_server.resources.fhirpath.lexer import Token, tokens

_BINDING = {
    **dict.fromkeys(["implies"], 1),
    **dict.fromkeys(["or", "xor"], 2),
    **dict.fromkeys(["and"], 3),
    **dict.fromkeys(["in", "contains"], 4),
    **dict.fromkeys(["=", "~", "!=", "!~"], 5),
    **dict.fromkeys(["<=", "<", ">", ">="], 6),
    **dict.fromkeys(["|"], 7),
    **dict.fromkeys(["is", "as"], 8),
    **dict.fromkeys(["+", "-", "&"], 9),
    **dict.fromkeys(["*", "/", "div", "mod"], 10),
}
_TEMPORAL = {"date": "System.Date", "datetime": "System.DateTime", "time": "System.Time"}
_CALENDAR = frozenset(
    unit + plural
    for unit in ("year", "month", "week", "day", "hour", "minute", "second", "millisecond")
    for plural in ("", "s")
)
_MAX_DEPTH = 60


@lru_cache(maxsize=2048)
def parse(expression: str) -> Node:
    """Return the syntax tree of ``expression``; raise FhirPathError that says where it cannot be read."""
    parser = _Parser(tokens(expression))
    tree = parser.expression()
    parser.expect_end()
    return tree


class _Parser:
    """A cursor over tokens; every method consumes what it names."""

    def __init__(self, found: list[Token]) -> None:
        self._tokens = found
        self._at = 0
        self._depth = 0

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._tokens[self._at]
        self._at += token.kind != "end"
        return token

    def _sees(self, symbol: str) -> bool:
        return self._next.kind == "symbol" and self._next.text == symbol

    def _expect(self, symbol: str) -> None:
        if not self._sees(symbol):
            raise FhirPathError(f"'{symbol}' is missing", self._next.position)
        self._take()

    def expect_end(self) -> None:
        """Refuse anything that follows a complete expression."""
        if self._next.kind != "end":
            raise FhirPathError("an operator is missing, or something is left over", self._next.position)

    def expression(self, binding: int = 0) -> Node:
        """Read operators that bind tighter than ``binding``."""
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise FhirPathError("the expression is nested too deeply", self._next.position)
        left = self._signed()
        while self._next.kind in ("symbol", "name") and _BINDING.get(self._next.text, 0) > binding:
            operator = self._take()
            if operator.text in ("is", "as"):
                left = TypeOperator(operator.text, left, self._type_name(), operator.position)
            else:
                left = Binary(operator.text, left, self.expression(_BINDING[operator.text]))
        self._depth -= 1
        return left

    def _type_name(self) -> str:
        token = self._take()
        if token.kind not in ("name", "quoted"):
            raise FhirPathError("the name of a type is missing", token.position)
        if not self._sees("."):
            return token.text
        self._take()
        return f"{token.text}.{self._take().text}"

    def _signed(self) -> Node:
        # A loop, because a thousand signs must not be a thousand stack frames.
        signs = []
        while self._sees("-") or self._sees("+"):
            signs.append(self._take().text)
        operand = self._postfix(self._primary())
        return Unary("-" if signs.count("-") % 2 else "+", operand) if signs else operand

    def _postfix(self, base: Node) -> Node:
        while True:
            if self._sees("."):
                self._take()
                base = self._invocation(base, first=False)
            elif self._sees("["):
                self._take()
                base = Index(base, self.expression())
                self._expect("]")
            else:
                return base

    def _invocation(self, base: Node, *, first: bool) -> Node:
        token = self._take()
        if token.kind == "special" and token.text == "this":
            return base
        if token.kind not in ("name", "quoted"):
            raise FhirPathError("the name of an element or a function is missing", token.position)
        if token.kind == "name" and self._sees("("):
            return Call(base, token.text, self._arguments(), token.position)
        return Step(base, token.text, first)

    def _arguments(self) -> tuple[Node, ...]:
        self._expect("(")
        found: list[Node] = []
        while not self._sees(")"):
            if found:
                self._expect(",")
            found.append(self.expression())
        self._take()
        return tuple(found)

    def _primary(self) -> Node:  # noqa: PLR0911 - one branch per kind of token
        token = self._next
        if token.kind == "symbol":
            return self._bracketed()
        if token.kind == "name" and token.text not in ("true", "false"):
            return self._invocation(This(), first=True)
        if token.kind == "quoted":
            return self._invocation(This(), first=True)
        self._take()
        match token.kind:
            case "name":
                return Literal(token.text == "true", "System.Boolean")
            case "string":
                return Literal(token.text, "System.String")
            case "number":
                return self._number(token)
            case "date" | "datetime" | "time":
                return Literal(token.text, _TEMPORAL[token.kind])
            case "variable":
                return Variable(token.text, token.position)
            case "special":
                return This() if token.text == "this" else Special(token.text)
        raise FhirPathError("the expression breaks off here", token.position)

    def _bracketed(self) -> Node:
        if self._sees("("):
            self._take()
            inner = self.expression()
            self._expect(")")
            return inner
        self._expect("{")
        self._expect("}")
        return Literal(None, "")

    def _number(self, token: Token) -> Node:
        unit = self._next
        if unit.kind == "string" or (unit.kind == "name" and unit.text in _CALENDAR):
            self._take()
            return Literal({"value": Decimal(token.text), "unit": unit.text}, "System.Quantity")
        if "." in token.text:
            return Literal(Decimal(token.text), "System.Decimal")
        return Literal(int(Decimal(token.text)), "System.Integer")
