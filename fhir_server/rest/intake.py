"""Make an interaction's Request out of HTTP's method, path, query and header fields.

https://hl7.org/fhir/R4/http.html#general
"""

from __future__ import annotations

from typing import NamedTuple

from fhir_server.access.actor import Actor
from fhir_server.faults import Fault, Kind
from fhir_server.interactions.request import Request
from fhir_server.rest.bodies import Body
from fhir_server.rest.negotiate import Format, accepted, format_named, is_true
from fhir_server.rest.percent import Pairs
from fhir_server.rest.preconditions import Preferences, criteria, etags, modified_since, preferences
from fhir_server.rest.routes import Target

Fields = dict[bytes, bytes]
"""Header fields by lower-case name; the values of a repeated field are joined by commas (RFC 9110 5.3)."""

_NO_PREFERENCES = Preferences()
_NO_BODY = Body()
_CONDITIONAL = frozenset({"update", "patch", "delete"})


class Presentation(NamedTuple):
    """How the response's body is to be written."""

    format: Format = Format.JSON
    pretty: bool = False


PLAIN = Presentation()


class Origin(NamedTuple):
    """Whence a request comes: the service's address as its sender sees it, its id, the sender's address.

    ``actor``: who sends it; None when nobody was asked to say so.
    """

    base: str
    request_id: str = ""
    address: str = ""
    actor: Actor | None = None


def fields_of(headers: list[tuple[bytes, bytes]]) -> Fields:
    """Return header fields as a dictionary."""
    fields = dict(headers)
    if len(fields) == len(headers):
        return fields
    fields = {}
    for name, value in headers:
        fields[name] = fields[name] + b", " + value if name in fields else value
    return fields


def preferred(fields: Fields) -> Presentation:
    """Return what Accept asks for, or plain JSON where it cannot be honoured: for telling of other faults."""
    try:
        return Presentation(accepted(fields.get(b"accept", b"")))
    except Fault:
        return PLAIN


def presentation(fields: Fields, pairs: Pairs) -> tuple[Presentation, Pairs]:
    """Take ``_format`` and ``_pretty`` out of the parameters: how to write, and the parameters left.

    ``_format`` overrides Accept. https://hl7.org/fhir/R4/http.html#parameters
    Faults: NOT_ACCEPTABLE, BAD_PARAMETER.
    """
    if not pairs:
        return Presentation(accepted(fields.get(b"accept", b""))), pairs
    format_: Format | None = None
    pretty = False
    left = []
    for name, value in pairs:
        if name == "_format":
            format_ = format_named(value)
        elif name == "_pretty":
            pretty = is_true(value)
        else:
            left.append((name, value))
    if format_ is None:
        format_ = accepted(fields.get(b"accept", b""))
    return Presentation(format_, pretty), tuple(left)


def request_of(
    target: Target, method: str, fields: Fields, parameters: Pairs, origin: Origin, body: Body = _NO_BODY
) -> Request:
    """Put together the interaction's Request; HEAD asks for what GET asks for.

    Faults: BAD_REQUEST for preconditions that cannot be read, and for a conditional update, patch or delete
    without criteria, which would otherwise concern every resource of the type.
    """
    if target.id is None and not parameters and target.name in _CONDITIONAL:
        raise Fault(
            Kind.BAD_REQUEST,
            f"Say which {target.type}: {method} takes an id in the path, or criteria as parameters.",
        )
    get = fields.get
    match, none_match = get(b"if-match"), get(b"if-none-match")
    since, none_exist, prefer = get(b"if-modified-since"), get(b"if-none-exist"), get(b"prefer")
    wish = _NO_PREFERENCES if prefer is None else preferences(prefer)
    return Request(
        name=target.name,
        type=target.type,
        id=target.id,
        version=target.version,
        operation=target.operation,
        method="GET" if method == "HEAD" else method,
        parameters=parameters,
        body=body.tree,
        patch=body.patch,
        content=body.content,
        base=origin.base,
        request_id=origin.request_id,
        address=origin.address,
        actor=origin.actor,
        if_match=None if match is None else etags(match),
        if_none_match=None if none_match is None else etags(none_match),
        # If-None-Match is the better validator and wins (RFC 9110 13.1.3).
        if_modified_since=None if since is None or none_match is not None else modified_since(since),
        if_none_exist=None if none_exist is None else criteria(none_exist),
        prefer_return=wish.return_,
        prefer_strict=wish.strict,
        prefer_explain=wish.explain,
        compartment=target.compartment,
    )
