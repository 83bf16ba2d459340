"""Bundles that the server answers with, put together by joining stored bytes; nothing is parsed.

https://hl7.org/fhir/R4/bundle.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal

from fhir_server.resources.codec import encode

Links = Iterable[tuple[str, str]]
"""(relation, URL) pairs: self, next …"""

_GRADE = "http://hl7.org/fhir/StructureDefinition/match-grade"
_MATCH = b',"search":{"mode":"match"}}'
_INCLUDE = b',"search":{"mode":"include"}}'


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One version in a history. ``body``: canonical JSON, b"" for a deletion. ``modified``: a FHIR instant.

    ``url``: what the request addressed, relative to the base. ``status``: the code, ``etag``: ``W/"3"``.
    """

    full_url: str
    body: bytes
    method: str
    url: str
    status: str
    etag: str
    modified: str


@dataclass(frozen=True, slots=True)
class Response:
    """The answer to one entry. ``body``: canonical JSON, b"" for none; ``outcome``: an OperationOutcome's.

    ``status``: the HTTP status; ``etag``: ``W/"3"``; ``modified``: a FHIR instant; ``location``: as in HTTP.
    """

    status: int
    body: bytes = b""
    outcome: bytes = b""
    location: str | None = None
    etag: str | None = None
    modified: str | None = None
    full_url: str | None = None


def searchset(
    total: int | None,
    links: Links,
    matches: Iterable[tuple[str, bytes]],
    includes: Iterable[tuple[str, bytes]] = (),
    outcome: bytes | None = None,
) -> bytes:
    """Join stored bodies into a searchset.

    ``matches`` and ``includes``: (fullUrl, canonical JSON) pairs. ``outcome``: OperationOutcome JSON that
    tells of the search itself; it is an entry of its own that ``total`` does not count.
    https://hl7.org/fhir/R4/bundle.html#searchset
    """
    found = [b'{"fullUrl":%b,"resource":%b' % (encode(url), body) + _MATCH for url, body in matches]
    found += [b'{"fullUrl":%b,"resource":%b' % (encode(url), body) + _INCLUDE for url, body in includes]
    if outcome is not None:
        found.append(b'{"resource":%b,"search":{"mode":"outcome"}}' % outcome)
    return _bundle("searchset", total, links, found)


def graded_searchset(
    total: int, matches: Iterable[tuple[str, bytes, float, str]], outcome: bytes | None = None
) -> bytes:
    """Join stored bodies into the searchset of a $match: (fullUrl, canonical JSON, score, grade) tuples.

    https://hl7.org/fhir/R4/extension-match-grade.html
    """
    found = [
        _entry(
            url,
            body,
            {
                "search": {
                    "extension": [{"url": _GRADE, "valueCode": grade}],
                    "mode": "match",
                    "score": round(score, 4),
                }
            },
        )
        for url, body, score, grade in matches
    ]
    if outcome is not None:
        found.append(b'{"resource":%b,"search":{"mode":"outcome"}}' % outcome)
    return _bundle("searchset", total, (), found)


def history_bundle(total: int | None, links: Links, versions: Iterable[HistoryEntry]) -> bytes:
    """Join versions, newest first, into a history. https://hl7.org/fhir/R4/bundle.html#history"""
    return _bundle("history", total, links, [_version(version) for version in versions])


def responses(kind: Literal["batch-response", "transaction-response"], answers: Iterable[Response]) -> bytes:
    """Join the answers, in the order of the request. https://hl7.org/fhir/R4/http.html#transaction-response"""
    return _bundle(kind, None, (), [_response(answer) for answer in answers])


def _bundle(kind: str, total: int | None, links: Links, entries: list[bytes]) -> bytes:
    head = b'{"resourceType":"Bundle","type":%b' % encode(kind)
    if total is not None:
        head += b',"total":%d' % total
    listed = [{"relation": relation, "url": url} for relation, url in links]
    if listed:
        head += b',"link":' + encode(listed)
    # FHIR knows no empty arrays.
    tail = b',"entry":[' + b",".join(entries) + b"]}" if entries else b"}"
    return head + tail


def _version(version: HistoryEntry) -> bytes:
    rest = {
        "request": {"method": version.method, "url": version.url},
        "response": {"status": version.status, "etag": version.etag, "lastModified": version.modified},
    }
    return _entry(version.full_url, version.body, rest)


def _response(answer: Response) -> bytes:
    said = {
        "status": f"{answer.status} {HTTPStatus(answer.status).phrase}",
        "location": answer.location,
        "etag": answer.etag,
        "lastModified": answer.modified,
    }
    response = encode({key: value for key, value in said.items() if value is not None})
    if answer.outcome:
        response = response[:-1] + b',"outcome":' + answer.outcome + b"}"
    return _join(answer.full_url, answer.body, b'"response":' + response)


def _entry(full_url: str, body: bytes, rest: Mapping[str, Mapping[str, object]]) -> bytes:
    return _join(full_url, body, encode(rest)[1:-1])


def _join(full_url: str | None, body: bytes, rest: bytes) -> bytes:
    parts = [] if full_url is None else [b'"fullUrl":' + encode(full_url)]
    if body:
        parts.append(b'"resource":' + body)
    return b"{" + b",".join((*parts, rest)) + b"}"
