"""What an entry of a batch or transaction asks for: ``Bundle.entry.request.url`` read as HTTP would read it.

https://hl7.org/fhir/R4/bundle-definitions.html#Bundle.entry.request.url
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

from fhir_server.faults import Fault, Kind
from fhir_server.resources.types import RESOURCE_TYPES, compartments

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH")
"""https://hl7.org/fhir/R4/valueset-http-verb.html"""

_fits_id = re.compile(r"(?!\.\.?\Z)[A-Za-z0-9\-.]{1,64}").fullmatch
_fits_operation = re.compile(r"\$[A-Za-z][A-Za-z0-9\-]{0,63}").fullmatch
_WRITES = {"PUT": "update", "PATCH": "patch", "DELETE": "delete"}

_SHAPES = {
    ("GET", ""): "search-system",
    ("GET", "metadata"): "capabilities",
    ("GET", "_history"): "history-system",
    ("GET", "$"): "operation",
    ("GET", "T"): "search-type",
    ("GET", "T/_history"): "history-type",
    ("GET", "T/$"): "operation",
    ("GET", "T/i"): "read",
    ("GET", "T/i/_history"): "history-instance",
    ("GET", "T/i/_history/i"): "vread",
    ("GET", "T/i/$"): "operation",
    ("GET", "T/i/_history/i/$"): "operation",
    ("GET", "T/i/T"): "search-compartment",
    ("GET", "T/i/*"): "search-compartment",
    ("POST", "T"): "create",
    ("POST", "$"): "operation",
    ("POST", "T/$"): "operation",
    ("POST", "T/i/$"): "operation",
    ("POST", "T/i/_history/i/$"): "operation",
} | {(method, shape): name for method, name in _WRITES.items() for shape in ("T", "T/i")}


@dataclass(frozen=True, slots=True)
class Target:
    """An interaction by the names of the HTTP interface; ``parameters`` are the query, decoded, in order."""

    name: str
    type: str | None = None
    id: str | None = None
    version: str | None = None
    operation: str | None = None
    compartment: tuple[str, str] | None = None
    parameters: tuple[tuple[str, str], ...] = ()

    @property
    def identity(self) -> str | None:
        """``Type/id`` when the request names one resource."""
        return f"{self.type}/{self.id}" if self.type and self.id else None


def target(method: str, url: str, base: str = "") -> Target:
    """Read a method and a URL that is relative to ``base``, begins with it, or begins with a slash.

    Faults without an expression, which the caller knows: BAD_REQUEST, UNKNOWN_TYPE.
    """
    path, _, query = (url.removeprefix(base) if base else url).partition("?")
    if "://" in path or path.startswith("urn:"):
        raise Fault(
            Kind.BAD_REQUEST, "The URL points to another server; write it relative to this one's base."
        )
    segments = [_unquote(segment) for segment in path.strip("/").split("/")] if path.strip("/") else []
    kinds = [_kind(segment, position) for position, segment in enumerate(segments)]
    name = _SHAPES.get(("GET" if method == "HEAD" else method, "/".join(kinds)))
    if name is None:
        raise Fault(Kind.BAD_REQUEST, _advice(method, kinds))
    parameters = _parameters(query)
    if name in _WRITES.values() and len(segments) == 1 and not parameters:
        raise Fault(Kind.BAD_REQUEST, f"{method} needs an id (Type/id) or criteria (Type?criteria).")
    return _named(name, segments, kinds, parameters)


def _named(
    name: str, segments: list[str], kinds: list[str], parameters: tuple[tuple[str, str], ...]
) -> Target:
    if name == "search-compartment":
        if segments[0] not in compartments():
            raise Fault(Kind.BAD_REQUEST, f"{segments[0]} has no compartment to search.")
        type_ = None if segments[2] == "*" else segments[2]
        return Target(name, type_, compartment=(segments[0], segments[1]), parameters=parameters)
    ids = [segment for segment, kind in zip(segments, kinds, strict=True) if kind == "i"]
    return Target(
        name,
        type=segments[0] if kinds and kinds[0] == "T" else None,
        id=ids[0] if ids else None,
        version=ids[1] if len(ids) > 1 else None,
        operation=segments[-1] if kinds and kinds[-1] == "$" else None,
        parameters=parameters,
    )


def _kind(segment: str, position: int) -> str:
    """Name the kind of a path segment: T a type, i an id, $ an operation, a fixed word itself."""
    # No id holds an underscore or an asterisk; "metadata" is a good id, but not a type.
    if segment in {"_history", "_search", "*"} or (segment == "metadata" and position == 0):
        return segment
    if segment.startswith("$"):
        if not _fits_operation(segment):
            raise Fault(Kind.BAD_REQUEST, "An operation's name is a $ and letters, digits or hyphens.")
        return "$"
    if position in {0, 2}:
        if segment not in RESOURCE_TYPES:
            raise Fault(Kind.UNKNOWN_TYPE, "The URL names no resource type of FHIR R4; mind capital letters.")
        return "T"
    if not _fits_id(segment):
        raise Fault(Kind.BAD_REQUEST, "An id is 1 to 64 characters of A-Z, a-z, 0-9, '-' and '.'.")
    return "i"


def _advice(method: str, kinds: list[str]) -> str:
    if method not in METHODS:
        return f"The method must be one of {', '.join(METHODS)}."
    if kinds and kinds[-1] == "_search":
        return "Within a bundle a search is a GET with its parameters in the URL."
    if method == "POST" and not kinds:
        return "A bundle cannot hold another batch or transaction."
    return f"{method} does not work on this URL; GET /metadata lists the interactions."


def _unquote(segment: str) -> str:
    try:
        return unquote(segment, errors="strict")
    except UnicodeDecodeError:
        raise Fault(Kind.BAD_REQUEST, "The URL's percent escapes are not UTF-8.") from None


def _parameters(query: str) -> tuple[tuple[str, str], ...]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict")
    except ValueError:
        raise Fault(Kind.BAD_REQUEST, "The URL's percent escapes are not UTF-8.") from None
    return tuple(pair for pair in pairs if pair[0] not in {"_format", "_pretty"})
