"""Cut a FHIRPath expression into tokens. http://hl7.org/fhirpath/N1/grammar.html"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fhir_server.resources.fhirpath.ast import FhirPathError

MAX_LENGTH = 20_000
"""Characters; the longest expression in R4 itself has fewer than 3,000."""

_DATE = r"\d{4}(?:-\d{2}(?:-\d{2})?)?"
_TIME = r"\d{2}(?::\d{2}(?::\d{2}(?:\.\d+)?)?)?"
_TOKEN = re.compile(
    rf"""(?P<space>\s+|//[^\n]*|/\*.*?\*/)
    |(?P<datetime>@{_DATE}T(?:{_TIME}(?:Z|[+-]\d{{2}}:\d{{2}})?)?)
    |(?P<date>@{_DATE})
    |(?P<time>@T{_TIME})
    |(?P<number>\d+(?:\.\d+)?)
    |(?P<string>'(?:[^'\\]|\\.)*')
    |(?P<special>\$(?:this|index|total))
    |(?P<variable>%(?:[A-Za-z_][A-Za-z0-9_-]*|'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`))
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<quoted>`(?:[^`\\]|\\.)*`)
    |(?P<symbol><=|>=|!=|!~|[()\[\].,|=~<>+\-*/&{{}}])""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES = {"r": "\r", "n": "\n", "t": "\t", "f": "\f", "'": "'", '"': '"', "`": "`", "\\": "\\", "/": "/"}


@dataclass(frozen=True, slots=True)
class Token:
    """One token: kind (a group of the token pattern, or "end"), text without quotes, where it starts."""

    kind: str
    text: str
    position: int


def tokens(expression: str) -> list[Token]:
    """Return the tokens of ``expression``, an "end" token last; raise FhirPathError where none fits."""
    if len(expression) > MAX_LENGTH:
        raise FhirPathError(f"the expression is longer than {MAX_LENGTH} characters; make it shorter")
    found: list[Token] = []
    position = 0
    while position < len(expression):
        match = _TOKEN.match(expression, position)
        if match is None or match.lastgroup is None:
            raise FhirPathError("this character begins nothing that FHIRPath knows", position)
        if match.lastgroup != "space":
            found.append(Token(match.lastgroup, _text(match.lastgroup, match.group(), position), position))
        position = match.end()
    found.append(Token("end", "", position))
    return found


def _text(kind: str, text: str, position: int) -> str:
    if kind in ("string", "quoted"):
        return _unescape(text[1:-1], position)
    if kind == "variable":
        return _unescape(text[2:-1], position) if text[1] in "'`" else text[1:]
    return text[1:] if kind in ("date", "datetime", "time", "special") else text


def _unescape(text: str, position: int) -> str:
    if "\\" not in text:
        return text

    def character(match: re.Match[str]) -> str:
        escape = match.group(1)
        if escape[0] == "u" and len(escape) == 5:
            return chr(int(escape[1:], 16))
        # R4's own rules escape characters that the grammar does not list ('\.' and '\d'): the backslash goes.
        return _ESCAPES.get(escape, escape)

    if text.endswith("\\") and (len(text) - len(text.rstrip("\\"))) % 2:
        raise FhirPathError("the string ends in an escape", position)
    return _ESCAPE.sub(character, text)
