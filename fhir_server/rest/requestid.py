"""The id of a request, its client's own or a random one; joins log, audit, answer, and opens nothing."""

from __future__ import annotations

import os
import re
from typing import Final

from fhir_server.rest.intake import Fields

_BYTES: Final = 16
_AT_ONCE: Final = 256
_sane = re.compile(rb"[A-Za-z0-9\-._]{1,64}").fullmatch


class RequestIds:
    """Gives ids of 128 random bits; asks the system for many at once, since each call of it costs."""

    def __init__(self) -> None:
        self._ready: list[str] = []

    def of(self, fields: Fields) -> str:
        """Return the client's X-Request-Id, when it is at most 64 harmless characters; else a new id."""
        given = fields.get(b"x-request-id")
        if given is not None and _sane(given):
            return given.decode()
        if not self._ready:
            digits = os.urandom(_BYTES * _AT_ONCE).hex()
            self._ready = [digits[at : at + 2 * _BYTES] for at in range(0, len(digits), 2 * _BYTES)]
        return self._ready.pop()
