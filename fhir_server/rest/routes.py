"""The route table: which method on which path is which FHIR interaction.

The one table serves the dispatcher and the OpenAPI document, so neither can know a route the other lacks.
https://hl7.org/fhir/R4/http.html#summary
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from fhir_server.faults import Fault, Kind
from fhir_server.resources.types import RESOURCE_TYPES, compartments
from fhir_server.rest.percent import decode_segment

BASE_PATH = "/fhir"
"""The path of the service base, without a trailing slash."""

COMPARTMENTS = frozenset(compartments())
"""Types that have a compartment. https://hl7.org/fhir/R4/compartmentdefinition.html"""

_fits_id = re.compile(r"[A-Za-z0-9\-.]{1,64}").fullmatch
_fits_operation = re.compile(r"\$[A-Za-z][A-Za-z0-9\-]{0,63}").fullmatch


class Route(NamedTuple):
    """One line of the table: a method on a path below the base is the interaction ``name``."""

    method: str
    path: str
    name: str
    summary: str


_VERSION = "/{type}/{id}/_history/{version}"

ROUTES = (
    Route("GET", "/metadata", "capabilities", "What this server can do: its CapabilityStatement"),
    Route("POST", "/", "batch", "Process a batch or transaction Bundle"),
    Route("GET", "/", "search-system", "Search all types"),
    Route("POST", "/_search", "search-system", "Search all types, parameters in a form"),
    Route("GET", "/_history", "history-system", "History of all resources"),
    Route("POST", "/$convert", "operation", "Convert a local format to FHIR, or back"),
    Route("GET", "/${operation}", "operation", "Run an operation on the system"),
    Route("POST", "/${operation}", "operation", "Run an operation on the system"),
    Route("DELETE", "/${operation}", "operation", "Cancel what an operation started"),
    Route("GET", "/{type}", "search-type", "Search one type"),
    Route("POST", "/{type}/_search", "search-type", "Search one type, parameters in a form"),
    Route("POST", "/{type}", "create", "Create, or create if none exists"),
    Route("PUT", "/{type}", "update", "Update the one that matches"),
    Route("PATCH", "/{type}", "patch", "Patch the one that matches"),
    Route("DELETE", "/{type}", "delete", "Delete the one that matches"),
    Route("GET", "/{type}/_history", "history-type", "History of one type"),
    Route("GET", "/{type}/${operation}", "operation", "Run an operation on a type"),
    Route("POST", "/{type}/${operation}", "operation", "Run an operation on a type"),
    Route("GET", "/{type}/{id}", "read", "Read the current version"),
    Route("PUT", "/{type}/{id}", "update", "Update, or create under a chosen id"),
    Route("PATCH", "/{type}/{id}", "patch", "Patch"),
    Route("DELETE", "/{type}/{id}", "delete", "Delete"),
    Route("GET", "/{type}/{id}/_history", "history-instance", "History of one resource"),
    Route("GET", _VERSION, "vread", "Read one version"),
    Route("GET", f"{_VERSION}/${{operation}}", "operation", "Run an operation on a version"),
    Route("POST", f"{_VERSION}/${{operation}}", "operation", "Run an operation on a version"),
    Route("GET", "/{type}/{id}/${operation}", "operation", "Run an operation on a resource"),
    Route("POST", "/{type}/{id}/${operation}", "operation", "Run an operation on a resource"),
    Route("GET", "/{type}/{id}/*", "search-compartment", "Search all types in a compartment"),
    Route("POST", "/{type}/{id}/_search", "search-compartment", "Search all types in a compartment, form"),
    Route("GET", "/{type}/{id}/{target}", "search-compartment", "Search one type in a compartment"),
    Route("POST", "/{type}/{id}/{target}/_search", "search-compartment", "Search one type in it, form"),
)


@dataclass(slots=True)
class Target:
    """What a path and a method ask for; the fields are those of ``interactions.request.Request``."""

    name: str
    type: str | None = None
    id: str | None = None
    version: str | None = None
    operation: str | None = None
    compartment: tuple[str, str] | None = None


@dataclass(slots=True)
class _Node:
    """A place in the tree of paths: fixed words, then at most one named slot, then at most one operation."""

    words: dict[str, _Node] = field(default_factory=dict)
    slot: tuple[str, _Node] | None = None
    operation: _Node | None = None
    names: dict[str, str] = field(default_factory=dict)
    """Interaction by method."""

    def child(self, segment: str) -> _Node:
        """Return the node under ``segment`` of a route's template, making it if need be."""
        if segment == "${operation}":
            self.operation = self.operation or _Node()
            return self.operation
        if segment.startswith("{"):
            self.slot = self.slot or (segment[1:-1], _Node())
            return self.slot[1]
        return self.words.setdefault(segment, _Node())


def _tree() -> _Node:
    root = _Node()
    for route in ROUTES:
        node = root
        for segment in route.path.split("/"):
            if segment:
                node = node.child(segment)
        node.names[route.method] = route.name
    return root


_ROOT = _tree()


def match(method: str, path: str) -> Target:
    """Say which interaction ``method`` (HEAD counts as GET) on ``path`` is.

    ``path`` begins after the service base and is still percent-encoded; one trailing slash is tolerated.
    Faults: BAD_REQUEST (ids, percent escapes), UNKNOWN_TYPE, NOT_FOUND, METHOD_NOT_ALLOWED with Allow.
    """
    node, found = _walk(path)
    name = node.names.get("GET" if method == "HEAD" else method)
    if name is None:
        raise _not_allowed(node)
    type_, id_ = found.get("type"), found.get("id")
    if name == "search-compartment":
        return Target(name, found.get("target"), compartment=_compartment(found["type"], found["id"]))
    return Target(name, type_, id_, found.get("version"), found.get("operation"))


def allowed(path: str) -> str:
    """Return the methods of ``path`` as the value of an Allow header. Faults: those of :func:`match`."""
    node, _ = _walk(path)
    if not node.names:
        raise _unknown_path()
    return _allow(node)


def _walk(path: str) -> tuple[_Node, dict[str, str]]:
    node, found = _ROOT, {}
    for raw in path.removesuffix("/").split("/")[1:]:
        segment = decode_segment(raw) if "%" in raw else raw
        word = node.words.get(segment)
        if word is not None:
            node = word
            if segment[0] == "$":
                found["operation"] = segment
        elif segment.startswith("$") and node.operation is not None:
            found["operation"] = _operation(segment)
            node = node.operation
        elif node.slot is not None and segment and segment[0] not in "_$":
            slot, node = node.slot
            found[slot] = _CHECKS[slot](segment)
        else:
            raise _unknown_path()
    return node, found


def _type(segment: str) -> str:
    if segment not in RESOURCE_TYPES:
        # The segment is not repeated: a client that builds its URLs wrongly may have put a name there.
        raise Fault(
            Kind.UNKNOWN_TYPE,
            "The path names no resource type of FHIR R4. GET /metadata lists them; mind capital letters.",
        )
    return segment


def _id(segment: str) -> str:
    # "." and ".." fit the pattern, but every proxy and browser resolves them as steps in the path.
    if segment in {".", ".."} or not _fits_id(segment):
        raise Fault(
            Kind.BAD_REQUEST,
            "An id in the path is 1 to 64 characters of A-Z, a-z, 0-9, '-' and '.', but not '.' or '..'.",
        )
    return segment


def _operation(segment: str) -> str:
    if not _fits_operation(segment):
        raise Fault(Kind.NOT_FOUND, "The path names no operation. GET /metadata lists the operations.")
    return segment


_CHECKS = {"type": _type, "id": _id, "version": _id, "target": _type}


def _compartment(type_: str, id_: str) -> tuple[str, str]:
    if type_ not in COMPARTMENTS:
        raise Fault(
            Kind.NOT_FOUND,
            f"{type_} has no compartment; these have: {', '.join(sorted(COMPARTMENTS))}.",
        )
    return type_, id_


def _unknown_path() -> Fault:
    return Fault(Kind.NOT_FOUND, "Nothing is served under this path. GET /metadata says what is.")


def _allow(node: _Node) -> str:
    names = [*node.names, "OPTIONS"]
    if "GET" in node.names:
        names.append("HEAD")
    return ", ".join(sorted(names))


def _not_allowed(node: _Node) -> Fault:
    if not node.names:
        return _unknown_path()
    allow = _allow(node)
    return Fault(
        Kind.METHOD_NOT_ALLOWED,
        f"This path answers {allow} only.",
        headers=(("Allow", allow),),
    )
