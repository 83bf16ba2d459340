"""Random secrets, and the digests by which they are kept: no file holds a token, code or client's secret."""

from __future__ import annotations

import hashlib
import hmac
import secrets

_BYTES = 32


def new_secret() -> str:
    """Return 256 random bits as 43 characters that fit a URL, a header and a cookie."""
    return secrets.token_urlsafe(_BYTES)


def new_id() -> str:
    """Return 128 random bits as 32 hexadecimal digits: an id that is no secret."""
    return secrets.token_hex(16)


def digest(secret: str) -> str:
    """Return the SHA-256 of a random secret, in hexadecimal.

    Good for secrets of :func:`new_secret` alone: what people choose goes through Argon2 (``users``).
    """
    return hashlib.sha256(secret.encode()).hexdigest()


def same(given: str, expected: str) -> bool:
    """Compare two texts in a time that does not tell where they differ."""
    return hmac.compare_digest(given.encode(), expected.encode())


def bound(key: str, *parts: str) -> str:
    """Return a code that only who knows ``key`` can make for ``parts``: anti-forgery tokens of forms."""
    message = "\0".join(parts).encode()
    return hmac.new(key.encode(), message, hashlib.sha256).hexdigest()
