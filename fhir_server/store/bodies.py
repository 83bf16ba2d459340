"""Canonical bodies as every store keeps them: how they begin, whose they are, what a deletion leaves."""

from __future__ import annotations

from typing import Final

from fhir_server.store.api import Method

METHODS: Final[tuple[Method, ...]] = ("POST", "PUT", "PATCH", "DELETE")
"""A version's method is kept by its place in here."""

DELETE: Final = METHODS.index("DELETE")


def opening(type_: str, id_: str) -> bytes:
    """Return how the canonical body of ``type_/id_`` begins."""
    return f'{{"resourceType":"{type_}","id":"{id_}"'.encode()


def id_of(type_: str, body: bytes) -> str:
    """Read the logical id where canonical bytes hold it; ids have no escapes."""
    start = len(type_) + 25
    return body[start : body.index(b'"', start)].decode("ascii")


def tombstone(type_: str, id_: str) -> bytes:
    """Return what is sealed for a deletion: history must be able to say whose it is."""
    return opening(type_, id_) + b"}"
