"""The entries of a batch or transaction: read, checked, put in processing order, no resource written twice.

https://hl7.org/fhir/R4/http.html#transaction
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from fhir_server.faults import Fault, Issue, Kind
from fhir_server.resources.bundle.target import METHODS, Target, target
from fhir_server.resources.codec import decode_patch

Tree = dict[str, Any]
_T = TypeVar("_T")

_fits_etag = re.compile(r'(?:[Ww]/)?"([A-Za-z0-9\-.]{1,64})"').fullmatch
_FULL_URL = re.compile(r"(?:urn:(?:uuid|oid):|[A-Za-z][A-Za-z0-9+.\-]*://)\S+")
_RANK = {"DELETE": 0, "POST": 1, "PUT": 2, "PATCH": 2, "GET": 3, "HEAD": 3}
_PATCH_TYPE = "application/json-patch+json"


@dataclass(frozen=True, slots=True)
class Entry:
    """One request of a bundle, read as an HTTP request would be.

    ``if_match`` and ``if_none_match``: ``*`` or version ids joined by commas, without quotes.
    ``if_modified_since``: ms since the epoch. ``resource``: the body, for a FHIRPath Patch its Parameters;
    ``patch``: the operations of a JSON Patch instead.
    """

    index: int
    method: str
    url: str
    target: Target
    full_url: str | None = None
    resource: Tree | None = None
    patch: list[Any] | None = None
    if_match: str | None = None
    if_none_match: str | None = None
    if_modified_since: int | None = None
    if_none_exist: str | None = None

    @property
    def path(self) -> str:
        """The entry's FHIRPath in the bundle."""
        return f"Bundle.entry[{self.index}]"


class _RefusedError(Exception):
    """One problem of an entry: the path below the entry, and the fault that says what is wrong."""

    def __init__(self, path: str, words: str, kind: Kind = Kind.BAD_REQUEST) -> None:
        super().__init__(words)
        self.path = path
        self.kind = kind


def entries(tree: Tree, *, max_entries: int, base: str = "") -> list[Entry | Fault]:
    """Read each entry of a Bundle: an Entry, or the Fault that says why that entry cannot be.

    A batch answers such an entry with its fault and runs the others; a transaction passes the list through
    :func:`require`. Raises a Fault when the bundle as a whole is no batch or transaction (BAD_REQUEST) or has
    more than ``max_entries`` (TOO_LARGE).
    """
    if tree.get("resourceType") != "Bundle":
        raise Fault(Kind.BAD_REQUEST, "Send a Bundle of type batch or transaction.", "Bundle")
    if tree.get("type") not in ("batch", "transaction"):
        raise Fault(Kind.BAD_REQUEST, "The type of the Bundle must be batch or transaction.", "Bundle.type")
    listed = tree.get("entry", [])
    if type(listed) is not list:
        raise Fault(Kind.BAD_REQUEST, "entry must be an array of objects.", "Bundle.entry")
    if len(listed) > max_entries:
        raise Fault(
            Kind.TOO_LARGE,
            f"The Bundle has {len(listed)} entries; at most {max_entries} are taken at once. Split it.",
            "Bundle.entry",
        )
    return [_entry_or_fault(index, entry, base) for index, entry in enumerate(listed)]


def require(read: Sequence[Entry | Fault]) -> list[Entry]:
    """Return the entries when all could be read; otherwise raise one Fault that holds every issue."""
    issues = [issue for each in read if isinstance(each, Fault) for issue in each.issues]
    if issues:
        raise Fault(Kind.BAD_REQUEST, "Some entries cannot be processed.", issues=tuple(issues))
    return [each for each in read if isinstance(each, Entry)]


def order(read: Iterable[Entry]) -> list[Entry]:
    """Return entries in processing order: DELETE, POST, PUT and PATCH, GET and HEAD; otherwise as they stand.

    https://hl7.org/fhir/R4/http.html#trules
    """
    return sorted(read, key=lambda entry: _RANK[entry.method])


def duplicates(read: Iterable[Entry]) -> None:
    """Refuse two entries with one fullUrl: a reference to it would have two targets. Fault BAD_REQUEST."""
    named = ((entry, entry.full_url) for entry in read if entry.full_url is not None)
    _refuse_twice(named, "fullUrl", "have the same fullUrl; give each its own.")


def overlaps(read: Iterable[Entry], resolved: Mapping[int, str] | None = None) -> None:
    """Refuse a transaction that writes one resource twice. Fault BAD_REQUEST.

    ``resolved``: by index, the ``Type/id`` that a conditional update, patch or delete turned out to mean.
    https://hl7.org/fhir/R4/http.html#trules
    """
    found = resolved or {}
    written = (
        (entry, found.get(entry.index, entry.target.identity))
        for entry in read
        if entry.method in {"PUT", "PATCH", "DELETE"}
    )
    known = ((entry, identity) for entry, identity in written if identity is not None)
    _refuse_twice(known, "request.url", "write the same resource; a transaction may write each one once.")


def _refuse_twice(named: Iterable[tuple[Entry, str]], path: str, words: str) -> None:
    first: dict[str, Entry] = {}
    issues = []
    for entry, name in named:
        other = first.setdefault(name, entry)
        if other is not entry:
            text = f"Entries {other.index} and {entry.index} {words}"
            issues.append(Issue("error", "invalid", text, (f"{other.path}.{path}", f"{entry.path}.{path}")))
    if issues:
        raise Fault(Kind.BAD_REQUEST, issues[0].diagnostics, issues=tuple(issues))


def _entry_or_fault(index: int, entry: Any, base: str) -> Entry | Fault:
    problems: list[_RefusedError] = []

    def attempt(read: Callable[..., _T], *given: Any) -> _T | None:
        try:
            return read(*given)
        except _RefusedError as problem:
            problems.append(problem)
            return None

    request = attempt(_request, entry)
    if request is None:
        return _fault(index, problems)
    full_url = attempt(_full_url, entry)
    if_match = attempt(_etags, request, "ifMatch")
    if_none_match = attempt(_etags, request, "ifNoneMatch")
    if_modified_since = attempt(_if_modified_since, request)
    if_none_exist = attempt(_if_none_exist, request)
    found = attempt(_target, request, base)
    body = None if found is None else attempt(_body, request["method"], found, entry)
    if problems or found is None or body is None:
        return _fault(index, problems)
    return Entry(
        index,
        request["method"],
        request["url"],
        found,
        full_url=full_url,
        resource=body.resource,
        patch=body.patch,
        if_match=if_match,
        if_none_match=if_none_match,
        if_modified_since=if_modified_since,
        if_none_exist=if_none_exist,
    )


def _fault(index: int, problems: list[_RefusedError]) -> Fault:
    issues = tuple(
        Issue("error", each.kind.code, str(each), (f"Bundle.entry[{index}]{each.path}",)) for each in problems
    )
    return Fault(problems[0].kind, issues[0].diagnostics, issues=issues)


def _request(entry: Any) -> Tree:
    if type(entry) is not dict:
        raise _RefusedError("", "An entry must be an object.")
    request = entry.get("request")
    if type(request) is not dict:
        raise _RefusedError(".request", "Each entry of a batch or transaction needs a request.")
    return request


def _full_url(entry: Tree) -> str | None:
    value = entry.get("fullUrl")
    if value is None or (type(value) is str and _FULL_URL.fullmatch(value)):
        return value
    raise _RefusedError(".fullUrl", "A fullUrl is a urn:uuid:, a urn:oid: or an absolute URL.")


def _target(request: Tree, base: str) -> Target:
    method, url = request.get("method"), request.get("url")
    if type(method) is not str or method not in METHODS:
        raise _RefusedError(".request.method", f"The method must be one of {', '.join(METHODS)}.")
    if type(url) is not str:
        raise _RefusedError(".request.url", "The request needs a URL, for example Patient/1.")
    try:
        return target(method, url, base)
    except Fault as fault:
        raise _RefusedError(".request.url", fault.diagnostics, fault.kind) from None


class _Body(NamedTuple):
    resource: Tree | None = None
    patch: list[Any] | None = None


def _body(method: str, found: Target, entry: Tree) -> _Body:
    """Return what the request carries; what a GET or DELETE carries has no meaning and is left out."""
    if method in {"GET", "HEAD", "DELETE"}:
        return _Body()
    resource = entry.get("resource")
    if resource is None and found.name == "operation":
        return _Body()
    if type(resource) is not dict:
        raise _RefusedError(".resource", f"{method} needs a resource.")
    name = resource.get("resourceType")
    if method == "PATCH":
        return _patch(resource)
    if found.name != "operation" and name != found.type:
        raise _RefusedError(".resource", f"The URL says {found.type}; the resource must be one too.")
    return _Body(resource)


def _patch(resource: Tree) -> _Body:
    if resource.get("resourceType") == "Parameters":
        return _Body(resource)
    if resource.get("resourceType") != "Binary":
        raise _RefusedError(
            ".resource", "PATCH needs Parameters (FHIRPath Patch) or a Binary that holds a JSON Patch."
        )
    if resource.get("contentType") != _PATCH_TYPE:
        raise _RefusedError(".resource.contentType", f"The contentType of a JSON Patch is {_PATCH_TYPE}.")
    try:
        content = base64.b64decode("".join(str(resource.get("data", "")).split()), validate=True)
        return _Body(patch=decode_patch(content))
    except (binascii.Error, ValueError):
        raise _RefusedError(".resource.data", "The data of the Binary is not base64.") from None
    except Fault as fault:
        raise _RefusedError(".resource.data", fault.diagnostics) from None


def _etags(request: Tree, name: str) -> str | None:
    value = request.get(name)
    if value is None or value == "*":
        return value
    found = [_fits_etag(part.strip()) for part in value.split(",")] if type(value) is str else [None]
    versions = [tag[1] for tag in found if tag]
    if len(versions) != len(found):
        raise _RefusedError(f".request.{name}", f'{name} takes W/"3" (a version), a list of these, or *.')
    return ",".join(versions)


def _if_modified_since(request: Tree) -> int | None:
    value = request.get("ifModifiedSince")
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is not None:
            return int(moment.timestamp() * 1000)
    except (TypeError, ValueError, OverflowError):
        pass
    raise _RefusedError(
        ".request.ifModifiedSince", "ifModifiedSince is an instant such as 2026-03-01T08:30:00Z."
    )


def _if_none_exist(request: Tree) -> str | None:
    value = request.get("ifNoneExist")
    if value is not None and type(value) is not str:
        raise _RefusedError(".request.ifNoneExist", "ifNoneExist is the query of a search, without the ?.")
    return value
