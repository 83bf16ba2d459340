"""Fold a text for string search: case, accents, width and runs of white space do not count.

https://hl7.org/fhir/R4/search.html#string
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache


def _bare(text: str) -> str:
    """Decompose ``text`` for compatibility (full-width becomes plain) and drop its combining marks."""
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(character for character in decomposed if not unicodedata.combining(character))


@lru_cache(maxsize=8192)
def fold(text: str) -> str:
    """Return ``text`` as string search compares it; folding twice changes nothing more.

    >>> fold("  ＺＨＡＮＧ   Müller ")
    'zhang muller'
    """
    if text.isascii():
        return " ".join(text.lower().split())
    # Case folding may compose what must be decomposed again, and some marks fold to letters: hence twice.
    return " ".join(_bare(_bare(text).casefold()).split())
