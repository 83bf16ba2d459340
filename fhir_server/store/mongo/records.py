"""Opening stored versions: from a document of ``resource`` or ``history`` to :class:`Stored`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from fhir_server.crypto.envelope import Damaged, Envelope
from fhir_server.faults import Fault, Kind
from fhir_server.store.api import Stored
from fhir_server.store.bodies import DELETE, METHODS, id_of
from fhir_server.store.mongo.client import Document
from fhir_server.store.mongo.files import Files

PROJECTION: Final[dict[str, Any]] = {"h": 1, "t": 1, "n": 1, "v": 1, "u": 1, "w": 1, "m": 1, "b": 1, "g": 1}
"""The projection of what is needed to open a version, its numbers besides."""


class Opener:
    """Opens documents with the keys of one store."""

    def __init__(self, envelope: Envelope, files: Files) -> None:
        self._envelope = envelope
        self._files = files

    def open(self, type_: str, digest: int, version: int, payload: bytes) -> bytes:
        """Return the sealed bytes; damage becomes a fault that names no resource."""
        try:
            return self._envelope.open(type_, digest, version, payload)
        except Damaged:
            raise damaged() from None

    def body(self, document: Document) -> bytes:
        """Open a document whose payload stands in it (:meth:`fetched`); of a deletion: whose it is."""
        digest = document["h"] if "h" in document else document["_id"]
        return self.open(document["t"], digest, document["v"], document["b"])

    def stored(self, document: Document) -> Stored:
        """Open a document whose payload stands in it (:meth:`fetched`)."""
        type_, method, body = document["t"], document["m"], self.body(document)
        content = b"" if method == DELETE else body
        return Stored(type_, id_of(type_, body), document["v"], int(document["u"]), METHODS[method], content)

    async def fetched(self, documents: Iterable[Document]) -> list[Document]:
        """Return documents with their payloads in them: those that lie in files are fetched."""
        return [
            document if "b" in document else {**document, "b": await self._fetch(document)}
            for document in documents
        ]

    async def all(self, documents: Iterable[Document]) -> list[Stored]:
        """Open documents, wherever their payloads lie, in their order."""
        return [self.stored(document) for document in await self.fetched(documents)]

    async def _fetch(self, document: Document) -> bytes:
        payload = await self._files.read(document["g"]) if "g" in document else None
        if payload is None:
            raise damaged()
        return payload


def damaged() -> Fault:
    """Make the fault of a record that cannot be opened; it names none."""
    return Fault(Kind.EXCEPTION, "A stored record cannot be opened. The store's owner must run check.")
