"""Regular expressions out of users' hands: those that could run for ever are refused before they start.

Python's engine backtracks. The worst time grows with the text to the power of the repeats, and doubles with
every choice; a repeat of something that itself repeats is exponential. So the last is refused, and the text
is limited by the pattern. http://hl7.org/fhirpath/N1/#matchesregex-string-boolean
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from fhir_server.resources.fhirpath.ast import FhirPathError

MAX_PATTERN = 500
MAX_TEXT = 20_000
"""Characters; the most that any pattern is tried on."""
_STEPS = 10_000_000
"""Steps of backtracking in the worst case, about a second."""

_PIECE = re.compile(
    r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|(?P<open>\((?:\?(?:P<\w+>|<[=!]|[:=!]))?)|(?P<close>\))"
    r"|(?P<choice>[|?])|(?P<repeat>[*+]|\{\d*,?\d*\})\??|.",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled pattern and the length of text (characters) that it may be tried on."""

    compiled: re.Pattern[str]
    limit: int

    def matches(self, text: str) -> bool:
        """Tell whether the pattern matches a part of ``text``; raise FhirPathError when it is too long."""
        self._check(text)
        return self.compiled.search(text) is not None

    def replace(self, text: str, new: str) -> str:
        """Put ``new``, taken literally, for every match; raise FhirPathError when the text is too long."""
        self._check(text)
        return self.compiled.sub(lambda _: new, text)

    def _check(self, text: str) -> None:
        if len(text) > self.limit:
            raise FhirPathError("the text is too long for this regular expression; use fewer repeats in it")


@lru_cache(maxsize=1024)
def pattern(text: str, *, trusted: bool = False) -> Pattern:
    """Compile a pattern; raise FhirPathError when it is malformed, too long or could run for ever.

    ``trusted`` patterns come from the definitions and are not searched for danger.
    """
    limit = MAX_TEXT if trusted else _limit(text)
    try:
        return Pattern(re.compile(text, re.DOTALL), limit)
    except (re.error, OverflowError, RecursionError):
        raise FhirPathError("the regular expression is malformed") from None


def _limit(text: str) -> int:
    """Return how long a text may be for the worst case to stay within ``_STEPS``."""
    if len(text) > MAX_PATTERN:
        raise FhirPathError(
            f"the regular expression is longer than {MAX_PATTERN} characters; make it shorter"
        )
    repeats, choices = _count(text)
    steps = _STEPS >> choices
    # An unanchored search tries every start, which costs one power more.
    powers = repeats + (not text.startswith(("^", r"\A")))
    return int(min(MAX_TEXT, steps ** (1 / powers) if powers else MAX_TEXT)) if steps else 0


def _count(text: str) -> tuple[int, int]:
    """Count repeats and choices; raise FhirPathError when a repeated group itself repeats or chooses."""
    groups = [False]
    closed = False
    repeats = choices = 0
    for piece in _PIECE.finditer(text):
        if piece["open"]:
            groups.append(False)
        elif piece["close"] and len(groups) > 1:
            closed = groups.pop()
            groups[-1] = groups[-1] or closed
            continue
        elif piece["repeat"]:
            if closed:
                raise FhirPathError(
                    "the regular expression repeats what itself repeats or chooses; write it without"
                )
            repeats += 1
            groups[-1] = True
        elif piece["choice"]:
            choices += 1
            groups[-1] = True
        closed = False
    if re.search(r"\(\?\(|\\[1-9]|\(\?P=", text):
        raise FhirPathError("the regular expression refers back to a group; write it without")
    return repeats, choices
