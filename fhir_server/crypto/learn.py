"""A compression dictionary learned from records, in which nobody is to be found.

Payloads are small and alike: what a hospital's records share (names of elements, systems, codes, displays,
and how frequent digits and letters are) is best known from its own records. A piece of text counts as shared
when it stands in the records of at least :data:`PEOPLE` people; every other piece is replaced by random
characters before the dictionary is trained, so that it holds no name, number, id or rare diagnosis of any
one person. It is sealed all the same where it is kept.
https://facebook.github.io/zstd/#small-data
"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Iterable
from random import SystemRandom
from typing import Final

import zstandard

PEOPLE: Final = 8
"""A piece of text is shared when it occurs in the records of so many."""

_BYTES: Final = 32 * 1024
_MANY: Final = 2_000
"""From so many samples a dictionary of twice the size is learned."""

_LEVEL: Final = 3
_PIECE: Final = re.compile(r"[^\W_]+|[\W_]+")
_HEX: Final = re.compile(r"[0-9a-f]+")
_DIGITS, _HEX_DIGITS, _LETTERS = "0123456789", "0123456789abcdef", "abcdefghijklmnopqrstuvwxyz"
_PAUSE_EVERY: Final = 16
_PAUSE_SECONDS: Final = 0.001

_random = SystemRandom()


def learn(samples: Iterable[tuple[str, bytes]]) -> bytes | None:
    """Return a dictionary for bodies like ``samples``, pairs of (whom it is about, JSON).

    None when they are too few or too unlike. Takes some tenths of a second of a thread, with pauses in which
    others run.
    """
    about: dict[str, set[str]] = defaultdict(set)
    bodies: list[list[str]] = []
    for number, (person, body) in enumerate(samples):
        pieces = _PIECE.findall(body.decode("utf-8"))
        bodies.append(pieces)
        for piece in set(pieces):
            if len(about[piece]) < PEOPLE:
                about[piece].add(person)
        _pause(number)
    shared = {piece for piece, people in about.items() if len(people) >= PEOPLE}
    masked: list[bytes | bytearray | memoryview[int]] = []
    for number, pieces in enumerate(bodies):
        text = "".join(piece if piece in shared else _mask(piece) for piece in pieces)
        masked.append(text.encode())
        _pause(number)
    size = _BYTES if len(masked) < _MANY else 2 * _BYTES
    try:
        return zstandard.train_dictionary(size, masked, level=_LEVEL).as_bytes()
    except zstandard.ZstdError:
        return None


def _pause(number: int) -> None:
    if number % _PAUSE_EVERY == _PAUSE_EVERY - 1:
        time.sleep(_PAUSE_SECONDS)


def _mask(piece: str) -> str:
    """Return random characters of the kinds that the piece has: how often each occurs is learned too."""
    if not piece.isascii():
        return ""
    if piece.isdigit():
        return _some(_DIGITS, len(piece))
    if _HEX.fullmatch(piece):
        return _some(_HEX_DIGITS, len(piece))
    return _some(_LETTERS, len(piece)) if piece.isalnum() else " "


def _some(alphabet: str, length: int) -> str:
    return "".join(_random.choices(alphabet, k=length))
