"""Page links: a sealed token that holds a search and where its last page ended.

A token is encrypted, so that nothing a caller searched for or sorted by is in a URL, and bound to what was
asked and to what its caller may see: any other use of it is 404. Rights are decided anew on every page.
https://hl7.org/fhir/R4/http.html#paging
"""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from fhir_server.faults import Fault, Kind
from fhir_server.frozen import frozen
from fhir_server.search.query import Position, SortKey


@frozen
class Cursor:
    """What a page link holds: the parameters as they were understood, and the position to go on from.

    ``back``: the page lies before the position, not after it.
    """

    parameters: tuple[tuple[str, str], ...]
    position: Position
    back: bool = False


_Written = tuple[tuple[tuple[str, str], ...], tuple[SortKey, ...], int, bool]
_decode = msgspec.msgpack.Decoder(_Written).decode


def seal(key: bytes, scope: str, visibility: bytes, cursor: Cursor) -> str:
    """Return the token of a page link, safe in a URL; the same cursor gives the same token.

    ``key``: a secret of at most 64 bytes that all processes of the server share. ``scope``: what is asked of
    (``search/Patient``). ``visibility``: the fingerprint of what the caller may see.
    """
    position = cursor.position
    written = msgspec.msgpack.encode((cursor.parameters, position.keys, position.tie, cursor.back))
    sealed = _cipher(key).encrypt(written, [scope.encode(), visibility])
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()


def unseal(key: bytes, scope: str, visibility: bytes, token: str) -> Cursor:
    """Return what :func:`seal` put into ``token``; Fault NOT_FOUND for anything else."""
    try:
        sealed = base64.b64decode(token.encode() + b"=" * (-len(token) % 4), b"-_", validate=True)
        written = _cipher(key).decrypt(sealed, [scope.encode(), visibility])
    except (ValueError, InvalidTag):
        raise Fault(
            Kind.NOT_FOUND, "This page link is not valid for this search; start the search anew."
        ) from None
    parameters, keys, tie, back = _decode(written)
    return Cursor(parameters, Position(keys, tie), back)


@lru_cache(maxsize=8)
def _cipher(key: bytes) -> AESSIV:
    # SIV needs no nonce: two processes cannot collide, and equal pages have equal links.
    return AESSIV(hashlib.blake2b(key=key, digest_size=64, person=b"page links").digest())
