"""Functions that SQL calls where digests cannot answer: they open the payload and read the values again."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator

from fhir_server.search.fold import fold
from fhir_server.search.query import SortKey
from fhir_server.search.values import Values
from fhir_server.store.sqlite.records import Opener, id_of

Extractor = Callable[[str, bytes], Values]
"""Type and canonical body → searchable values."""


def register(connection: sqlite3.Connection, opener: Opener, extractor: Extractor) -> None:
    """Give ``connection`` the functions ``sort_key`` and ``starts_with``.

    Both take the type, and the digest, version and payload of the resource, then the parameter's code.
    """

    def sort_key(type_: str, digest: int, version: int, payload: bytes, param: str, down: int) -> SortKey:
        body = opener.body(type_, digest, version, payload)
        if param == "_id":
            return id_of(type_, body)
        keys: list[str] = list(_keys(extractor(type_, body), param))
        if not keys:
            return None
        return max(keys) if down else min(keys)

    def starts_with(type_: str, digest: int, version: int, payload: bytes, param: str, text: str) -> bool:
        values = extractor(type_, opener.body(type_, digest, version, payload))
        return any(name == param and fold(string).startswith(text) for name, string in values.strings)

    connection.create_function("sort_key", 6, sort_key)
    connection.create_function("starts_with", 6, starts_with)


def _keys(values: Values, param: str) -> Iterator[str]:
    """Yield the values of a parameter as they are compared; a parameter has values of one kind only."""
    yield from (fold(text) for name, text in values.strings if name == param)
    yield from (code for name, _, code in values.tokens if name == param)
    plain: Iterable[tuple[str, str]] = (*values.references, *values.uris)
    yield from (text for name, text in plain if name == param)
