"""The blind index: keyed digests of searchable values, so that equal values meet and a thief reads none.

A code, system, text or reference becomes a signed 64-bit integer. A string becomes a key that keeps
prefixes: texts that begin alike have keys that begin alike, and nothing else of them shows but their length.
What such an index still tells is said in ``docs``: equality, frequency, common prefixes, lengths.
"""

from __future__ import annotations

from functools import lru_cache

from fhir_server.crypto.suites import Digest

PREFIX_CHARACTERS = 64
"""Characters of a string that take part in prefix search in the index."""

CHUNK_BYTES = 4
"""Bytes of key that each character yields: a wrong neighbour matches once in four thousand million."""

HALF = 32
"""By so many bits the digests of systems and units are shorter than the others."""

# Plaintext stays in memory for as long as a cache keeps it: every cache is bounded, the largest hold codes
# and systems, which repeat; identifiers pass through and are pushed out.
_CACHED_CODES = 32_768
_CACHED_TARGETS = 16_384
_CACHED_STRINGS = 8_192


class BlindIndex:
    """Digests under one index key. Each kind of value has its own label, so that kinds never meet."""

    def __init__(self, digest: Digest) -> None:
        self._digest = digest
        self.code = lru_cache(_CACHED_CODES)(self._code)
        self.system = lru_cache(_CACHED_CODES)(self._system)
        self.unit = lru_cache(_CACHED_CODES)(self._unit)
        self.target = lru_cache(_CACHED_TARGETS)(self._target)
        self.text = lru_cache(_CACHED_STRINGS)(self._text)
        self.word = lru_cache(_CACHED_STRINGS)(self._word)
        self.prefix = lru_cache(_CACHED_STRINGS)(self._prefix)

    def _number(self, label: bytes, text: str) -> int:
        data = label + text.encode("utf-8", "surrogatepass")
        return int.from_bytes(self._digest(data), "little", signed=True)

    def _code(self, text: str) -> int:
        """Digest a token's code or a URI."""
        return self._number(b"c\0", text)

    def _system(self, text: str) -> int:
        """Digest a token's or a quantity's system to 32 bits; "" (none given) has a digest like any other.

        Systems and units are few and stand in every row: half a digest tells them apart, since a wrong one
        would have to come with the right code too.
        """
        return self._number(b"s\0", text) >> HALF

    def _unit(self, text: str) -> int:
        """Digest a quantity's unit to 32 bits."""
        return self._number(b"c\0", text) >> HALF

    def _target(self, text: str) -> int:
        """Digest ``Type/id`` or a URL: a resource's own number and the references to it agree."""
        return self._number(b"t\0", text)

    def _text(self, text: str) -> int:
        """Digest a string as it was written."""
        return self._number(b"w\0", text)

    def _word(self, text: str) -> int:
        """Digest a word of a text index."""
        return self._number(b"x\0", text)

    def rule(self, rule: bytes) -> int:
        """Digest a rule of a policy class."""
        return int.from_bytes(self._digest(b"r\0" + rule), "little", signed=True)

    def cell(self, level: int, row: int, column: int) -> int:
        """Digest a cell of a grid on the Earth (:mod:`store.cells`)."""
        return self._number(b"g\0", f"{level} {row} {column}")

    def _prefix(self, folded: str) -> bytes:
        """Encode a folded text: :data:`CHUNK_BYTES` a character, each depending on all before it.

        Beyond :data:`PREFIX_CHARACTERS` one digest of the whole text follows, so that equality stays exact.
        """
        digest = self._digest
        state = b"p\0"
        chunks = []
        for character in folded[:PREFIX_CHARACTERS]:
            state = digest(b"p\0" + state + character.encode("utf-8", "surrogatepass"))
            chunks.append(state[:CHUNK_BYTES])
        if len(folded) > PREFIX_CHARACTERS:
            chunks.append(digest(b"l\0" + folded.encode("utf-8", "surrogatepass")))
        return b"".join(chunks)


def following(prefix: bytes) -> bytes | None:
    """Return the least key greater than every key that begins with ``prefix``; None when there is none."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1]) if stripped else None
