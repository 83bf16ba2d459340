"""What comes through the one door and what goes out: an interaction and its reply, free of HTTP's bytes.

https://hl7.org/fhir/R4/http.html
"""

from __future__ import annotations

from dataclasses import field
from typing import Any, Final, Literal, NamedTuple

from fhir_server.access.actor import Actor
from fhir_server.frozen import frozen

CLIENT_GONE: Final = "The client went away before it was answered."
"""With what words a task is cancelled whose client has gone; the audit repeats them."""

Tree = dict[str, Any]
"""A resource as ``resources.codec`` decodes it: numbers with a point are Decimal."""


class Content(NamedTuple):
    """Bytes that are no resource: their Content-Type ("" when it was not said) and themselves."""

    media: str
    data: bytes


@frozen
class Request:
    """One interaction asked for.

    ``name``: read, vread, update, patch, delete, create, search-type, search-system, search-compartment,
    history-instance, history-type, history-system, capabilities, batch (also transaction) or operation.
    ``operation`` is the name with its $ (``$validate``). ``compartment``: (type, id) of a search-compartment,
    whose ``type`` is what is sought, None for all types. ``parameters``: name and value pairs in order,
    decoded, ``_format`` and ``_pretty`` removed. ``request_id``, ``address``: X-Request-Id and the client's
    network address, for the audit. ``body``: the decoded resource; for a JSON Patch ``patch``
    instead; ``content``: of an operation that takes other formats. ``if_match`` and ``if_none_match``: ``*``,
    or version ids joined by commas, without quotes.
    ``if_modified_since``: in ms. ``if_none_exist``: the criteria, still percent-encoded.
    ``base``: the service's address without a trailing slash. ``actor``: who asks; None is nobody, who is
    refused everything but the capabilities, unless the server runs without authentication.
    """

    name: str
    type: str | None = None
    id: str | None = None
    version: str | None = None
    operation: str | None = None
    method: str = "GET"
    parameters: tuple[tuple[str, str], ...] = ()
    body: Tree | None = None
    patch: list[Any] | None = None
    content: Content | None = None
    base: str = ""
    request_id: str = field(default="", compare=False)
    address: str = field(default="", compare=False)
    if_match: str | None = None
    if_none_match: str | None = None
    if_modified_since: int | None = None
    if_none_exist: str | None = None
    prefer_return: Literal["minimal", "representation", "OperationOutcome"] | None = None
    prefer_strict: bool | None = None
    prefer_explain: bool = False
    compartment: tuple[str, str] | None = None
    actor: Actor | None = None


@frozen
class Reply:
    """What an interaction answers: status, canonical JSON (b"" = no body) and what the headers will say.

    ``etag``: the version number; ``modified``: ms since the epoch; ``location``: relative to the base,
    ``Type/id/_history/version``; ``resource``: "Type/id" that the reply is about, for the log and the audit.
    """

    status: int
    body: bytes = b""
    etag: int | None = None
    modified: int | None = None
    location: str | None = None
    resource: str | None = None
    headers: tuple[tuple[str, str], ...] = field(default=())
