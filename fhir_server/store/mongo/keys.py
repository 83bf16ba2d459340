"""Keys of searchable values: what a resource's document holds instead of the values, and a search asks for.

A key is a digest of the blind index mixed with the number of the search parameter and the kind of key, so
that one array (``k``) serves all parameters and kinds. The mixing is public and cheap; what hides a value is
the keyed digest inside. Numbers of parameters are digests of their names, without a key: no process has to
allot them.
"""

from __future__ import annotations

import hashlib
import struct
from functools import cache, lru_cache
from typing import Final, NamedTuple

from bson.int64 import Int64

from fhir_server.crypto.blind import BlindIndex, following
from fhir_server.faults import Fault, Kind

_NUMBER: Final = struct.Struct("<I")
_PLACE: Final = struct.Struct("<II")
_SALT: Final = struct.Struct("<q")
_POSITIVE: Final = 0x7FFF_FFFF
_SPREAD: Final = 0x9E37_79B9_7F4A_7C15
"""An odd number whose multiples fill 64 bits: it spreads the 32 bits of a system's digest over all."""

_CACHED_SYSTEMS: Final = 8_192

_WRAP: Final = 1 << 64
_SIGN: Final = 1 << 63


class _Salts(NamedTuple):
    """What the digests of one parameter are mixed with, by kind of key."""

    code: int
    token: int
    system: int
    uri: int
    word: int
    cell: int
    text: int
    present: int
    reference: int


@cache
def parameter(type_: str, code: str) -> int:
    """Return the number of a search parameter of a type: 31 bits, the same in every process, for good."""
    digest = hashlib.blake2b(f"{type_}.{code}".encode(), digest_size=_NUMBER.size).digest()
    number: int = _NUMBER.unpack(digest)[0]
    return number & _POSITIVE


def refuse_collisions(type_: str, codes: list[str]) -> None:
    """Raise Fault(UNPROCESSABLE) when two parameters of a type have the same number.

    Once in two thousand million pairs; none of R4's do, so that it can only be a custom one.
    """
    by_number: dict[int, str] = {}
    for code in codes:
        other = by_number.setdefault(parameter(type_, code), code)
        if other != code:
            raise Fault(
                Kind.UNPROCESSABLE,
                f"This store cannot tell the search parameters {other!r} and {code!r} of {type_} apart;"
                " give the one that is yours another code.",
                "SearchParameter.code",
            )


def _salt(p: int, kind: int) -> int:
    digest = hashlib.blake2b(_PLACE.pack(p, kind), digest_size=_SALT.size).digest()
    number: int = _SALT.unpack(digest)[0]
    return number


class _SaltsByNumber(dict[int, _Salts]):
    def __missing__(self, p: int) -> _Salts:
        salts = self[p] = _Salts(*(_salt(p, kind) for kind in range(len(_Salts._fields))))
        return salts


class Keys:
    """Makes the keys of one store. ``p`` is the number of a parameter (:func:`parameter`)."""

    def __init__(self, blind: BlindIndex) -> None:
        self.blind = blind
        self._salts = _SaltsByNumber()
        self._spread = lru_cache(_CACHED_SYSTEMS)(self._spread_system)

    def _spread_system(self, system: str) -> int:
        spread = self.blind.system(system) * _SPREAD % _WRAP
        return spread - _WRAP if spread & _SIGN else spread

    def code(self, p: int, code: str) -> Int64:
        """Return the key of a token's code, whatever its system."""
        return Int64(self.blind.code(code) ^ self._salts[p].code)

    def token(self, p: int, system: str, code: str) -> Int64:
        """Return the key of a token with its system, "" when it has none."""
        digest = self.blind.code(code) ^ self._spread(system)
        return Int64(digest ^ self._salts[p].token)

    def system(self, p: int, system: str) -> Int64:
        """Return the key of a token's system, whatever its code."""
        return Int64(self._spread(system) ^ self._salts[p].system)

    def uri(self, p: int, uri: str) -> Int64:
        """Return the key of a URI."""
        return Int64(self.blind.code(uri) ^ self._salts[p].uri)

    def word(self, p: int, word: str) -> Int64:
        """Return the key of a word of a text index."""
        return Int64(self.blind.word(word) ^ self._salts[p].word)

    def cell(self, p: int, cell: tuple[int, int, int]) -> Int64:
        """Return the key of a cell of a grid on the Earth (:mod:`fhir_server.store.cells`)."""
        return Int64(self.blind.cell(*cell) ^ self._salts[p].cell)

    def text(self, p: int, text: str) -> Int64:
        """Return the key of a string as it was written."""
        return Int64(self.blind.text(text) ^ self._salts[p].text)

    def present(self, p: int) -> Int64:
        """Return the key that says that there is any value at all."""
        return Int64(self._salts[p].present)

    def reference(self, p: int, digest: int) -> Int64:
        """Return the key of a reference to the target with this digest (``blind.target``)."""
        return Int64(digest ^ self._salts[p].reference)


def string(p: int, prefix: bytes) -> str:
    """Return the key of a string, given ``blind.prefix`` of its folded text: beginnings are kept."""
    return f"{p:08x}{prefix.hex()}"


def strings_from(p: int, prefix: bytes) -> tuple[str, str]:
    """Return the least key of a string of ``p`` that begins with ``prefix``, and the least one after them."""
    beyond = following(prefix)
    # No key has a letter beyond "f", so that one with "g" follows all of its parameter.
    return string(p, prefix), f"{p:08x}g" if beyond is None else string(p, beyond)


def element(p: int, c: int, digest: int) -> Int64:
    """Return the key of an element of a composite: of its first component's digest.

    ``c``: which component stands beside it, and of which kinds both are.
    """
    return Int64(digest ^ _element_salt(p, c))


@cache
def _element_salt(p: int, c: int) -> int:
    return _salt(p, len(_Salts._fields) + c)
