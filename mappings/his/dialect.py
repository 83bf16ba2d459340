"""Which character separates the columns of a text extract, and whether its first row names them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

DELIMITERS = (",", "\t", "|", ";", "\x01", "^")
"""Comma, tab, what exporting clients offer, Hive's separator; in order of preference at a tie."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a text extract is written: the ``delimiter``, and whether quotes enclose columns that hold it."""

    delimiter: str = ","
    is_quoted: bool = True


def detect(lines: list[str]) -> Dialect:
    """Return the dialect of an extract's first lines.

    The delimiter is the one whose number per line, outside quotes, is most often the same and not zero.
    Quotes enclose columns unless all that are seen stand in the middle of one: those are inch signs and the
    like, which must not swallow the lines that follow.
    """
    sample = [line for line in lines if line.strip()][:200]
    best, score = ",", (0, 0)
    for delimiter in DELIMITERS:
        counts = Counter(count for line in sample if (count := _outside(line, delimiter)))
        if counts:
            usual, agreeing = max(counts.items(), key=lambda item: (item[1], item[0]))
            if (agreeing, usual) > score:
                best, score = delimiter, (agreeing, usual)
    quoted = [line for line in sample if '"' in line]
    return Dialect(best, not quoted or any(line.startswith('"') or f'{best}"' in line for line in quoted))


def _outside(line: str, delimiter: str) -> int:
    return sum(part.count(delimiter) for part in line.split('"')[::2])


def has_header(first: list[str], known: frozenset[str]) -> bool:
    """Whether a first row names columns: at least half of it are known names, or nothing of it is a value.

    ``known``: column names and titles in upper case.
    """
    names = [cell.strip() for cell in first if cell.strip()]
    if not names:
        return False
    if 2 * sum(name.upper() in known for name in names) >= len(names):
        return True
    return len(names) == len(first) == len(set(names)) and not any(_is_value(name) for name in names)


def _is_value(text: str) -> bool:
    return text[0].isdigit() or text[0] in "-+." or len(text) > 40
