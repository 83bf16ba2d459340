"""The raw ASGI application of the FHIR REST interface: HTTP in, one interaction, HTTP out.

https://hl7.org/fhir/R4/http.html and https://asgi.readthedocs.io/en/latest/specs/www.html
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fhir_server.access.actor import Actor
from fhir_server.access.bearer import PURPOSE_HEADER
from fhir_server.faults import Fault, Issue, Kind
from fhir_server.interactions.request import Content, Reply, Request
from fhir_server.rest import binary
from fhir_server.rest.base import base_from_host
from fhir_server.rest.bodies import METHODS_WITH_BODY, Body, decode_body, is_content, limit_for
from fhir_server.rest.deadline import Deadlines
from fhir_server.rest.hangup import LOOK_AFTER, Watched, may_be_given_up
from fhir_server.rest.intake import (
    PLAIN,
    Fields,
    Origin,
    Presentation,
    fields_of,
    preferred,
    presentation,
    request_of,
)
from fhir_server.rest.limits import Disconnected, Message, Receive, is_worth_closing, read_body
from fhir_server.rest.negotiate import accepts_gzip
from fhir_server.rest.observe import RESULT_PARAMETERS, Exchange, Observer
from fhir_server.rest.percent import Pairs, parse_query
from fhir_server.rest.probes import PATHS, Probes
from fhir_server.rest.requestid import RequestIds
from fhir_server.rest.respond import (
    Messages,
    fault_reply,
    headers_of,
    messages,
    packed,
    probe_messages,
    rendered,
)
from fhir_server.rest.routes import BASE_PATH, Target, allowed, match
from fhir_server.store import moment

if TYPE_CHECKING:
    from fhir_server.config import Settings

Run = Callable[[Request], Awaitable[Reply]]
Ready = Callable[[], Awaitable[bool]]
Send = Callable[[Message], Awaitable[None]]
Authenticate = Callable[[bytes | None, bytes | None], Awaitable[Actor]]
"""The headers Authorization and X-Purpose-Of-Use become who asks; Fault UNAUTHORIZED when they do not."""
Refused = Callable[[Request, Fault], Awaitable[None]]
"""Records a request that was refused before it could be run; raises a Fault when it cannot."""

_LOG = logging.getLogger("fhir_server.rest")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_PUBLIC = frozenset({"capabilities"})
_PURPOSE = PURPOSE_HEADER.lower().encode()
_SAFE = frozenset({"GET", "HEAD"})
_CLIENT_GONE = 499
_SLOW_SECONDS = 1.0
_CLOSING = (b"connection", b"close")


@dataclass(slots=True)
class _Call:
    """One request under way: what came, and what is known so far about how to answer it."""

    scope: dict[str, Any]
    receive: Receive
    fields: Fields
    path: str
    exchange: Exchange
    how: Presentation = PLAIN
    base: str = ""
    is_read: bool = False
    """The body was taken whole."""
    is_binary: bool = False
    """A read of a Binary, which may be answered in the media type that it holds."""


class Rest:
    """The REST interface as an ASGI application for ``http`` scopes.

    ``run`` is the one door to the interactions; ``ready`` says whether the store can answer now;
    ``known_parameters``: names of search parameters that the log may show. ``authenticate``: who asks;
    without it requests are nobody's, and it is the runner that refuses them. ``refused``: see Refused.
    """

    def __init__(
        self,
        settings: Settings,
        run: Run,
        ready: Ready,
        known_parameters: frozenset[str] = RESULT_PARAMETERS,
        authenticate: Authenticate | None = None,
        refused: Refused | None = None,
    ) -> None:
        self._settings = settings
        self._run = run
        self._authenticate = authenticate
        self._refused = refused
        self._seconds = settings.request_seconds
        self._deadlines = Deadlines(self._seconds)
        self._lookouts = Deadlines(LOOK_AFTER)
        self._base = settings.base_url.rstrip("/")
        self._ids = RequestIds()
        self._observer = Observer(known_parameters)
        self._probes = Probes(ready, self._observer)
        self._running = 0
        self._draining = False
        self._idle = asyncio.Event()

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one HTTP request; nothing that a client or a lower floor does is raised from here."""
        started = perf_counter()
        fields = fields_of(scope["headers"])
        method: str = scope["method"]
        exchange = Exchange(self._ids.of(fields), method if method in _METHODS else "other")
        self._running += 1
        try:
            start, body = await self._respond(_Call(scope, receive, fields, _path(scope), exchange))
            exchange.status, exchange.sent = start["status"], len(body["body"])
            await send(start)
            await send(body)
        except (Disconnected, OSError):
            exchange.status = _CLIENT_GONE
        finally:
            self._running -= 1
            if self._draining and not self._running:
                self._idle.set()
            exchange.status = exchange.status or _CLIENT_GONE  # cancelled by the server that runs us
            exchange.seconds = perf_counter() - started
            self._observer.record(exchange)

    async def drain(self, seconds: float) -> bool:
        """Refuse new requests (503), wait up to ``seconds`` for running ones; True when all have finished."""
        self._draining = self._probes.draining = True
        if not self._running:
            return True
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    async def _respond(self, call: _Call) -> Messages:
        try:
            return await self._answer(call)
        except Disconnected:
            raise
        except Exception as error:  # noqa: BLE001 the outermost guard: a 500 with an OperationOutcome
            reply = _unexpected(call, error)
            headers = headers_of(reply, call.base, call.exchange.request_id.encode())
            head = call.scope["method"] == "HEAD"
            return messages(reply.status, headers, reply.body, format_=PLAIN.format, head=head)

    async def _answer(self, call: _Call) -> Messages:
        head = call.scope["method"] == "HEAD"
        request_id = call.exchange.request_id.encode()
        if call.path in PATHS and call.scope["method"] in _SAFE:
            answer = await self._probes.answer(call.path)
            call.exchange.interaction = answer.name
            return probe_messages(answer, request_id, head=head)
        reply = await self._reply(call)
        if reply.status == 200 and (call.is_binary or binary.is_made(call.exchange.interaction, reply)):
            found = binary.native(reply, call.fields.get(b"accept", b""))
            if isinstance(found, binary.Native):
                return await _native(call, reply, found)
            reply = found
        try:
            body = rendered(reply.body, call.how.format, pretty=call.how.pretty)
        except Fault as fault:
            if fault.kind is not Kind.NOT_ACCEPTABLE:  # the reply itself is broken
                raise
            # JSON instead, for the client's own format cannot hold what is to be said.
            call.how, reply = PLAIN, fault_reply(fault)
            body = reply.body
        headers = headers_of(reply, call.base, request_id)
        if not call.is_read and is_worth_closing(call.fields) and _CLOSING not in headers:
            headers.append(_CLOSING)
        encodings = call.fields.get(b"accept-encoding")
        if encodings is not None and accepts_gzip(encodings):
            body = await packed(body, headers)
        return messages(reply.status, headers, body, format_=call.how.format, head=head)

    async def _reply(self, call: _Call) -> Reply:
        """Return the runner's reply, or the reply that tells of a fault or of a timeout."""
        call.how = preferred(call.fields)
        try:
            with self._deadlines.limit() as limit:
                return await self._interact(call)
        except Fault as fault:
            if fault.kind is Kind.EXCEPTION:
                _log_failure(call, fault.__cause__ or fault)
            return fault_reply(fault)
        except TimeoutError:
            if limit.is_over:
                return fault_reply(_timed_out(call.scope["method"], self._seconds))
            raise

    async def _interact(self, call: _Call) -> Reply:
        if self._draining:
            raise Fault(
                Kind.UNAVAILABLE,
                "The server is stopping; send the request again in a moment.",
                headers=(("Connection", "close"),),
            )
        method: str = call.scope["method"]
        query = call.scope["query_string"]
        pairs = call.exchange.query = parse_query(query) if query else ()
        path = _below_base(call.path)
        # A parameter asks for FHIR: _format for one of its formats, any other shapes a resource.
        call.is_binary = path.startswith(binary.PREFIX) and not pairs and binary.is_read(method, path)
        call.how, parameters = (call.how, pairs) if call.is_binary else presentation(call.fields, pairs)
        if method == "OPTIONS":
            call.exchange.interaction = "options"
            return Reply(204, headers=(("Allow", allowed(path)),))
        target = match(method, path)
        call.exchange.interaction, call.exchange.type = target.name, target.type or ""
        call.base = self._base or base_from_host(
            call.scope.get("scheme", "http"),
            call.fields.get(b"host", b""),
            loopback_only=self._settings.insecure_no_auth,
        )
        origin = Origin(call.base, call.exchange.request_id, _address(call.scope))
        try:
            # Before the body is read: nobody's megabytes are not worth parsing.
            if target.name not in _PUBLIC:
                origin = origin._replace(actor=await self._actor(call))
            if method not in METHODS_WITH_BODY:
                request = request_of(target, method, call.fields, parameters, origin)
            else:
                body = await self._body(call, target)
                if body.form:
                    pairs = call.exchange.query = pairs + body.form
                    call.how, parameters = presentation(call.fields, pairs)
                request = request_of(target, method, call.fields, parameters, origin, body)
        except Fault as fault:
            if self._refused is not None:
                await self._refused(_attempt(target, method, parameters, origin), fault)
            raise
        if not may_be_given_up(target, method):
            return await self._run(request)
        with Watched(self._lookouts, call.receive):
            return await self._run(request)

    async def _actor(self, call: _Call) -> Actor | None:
        if self._authenticate is None:
            return None
        return await self._authenticate(call.fields.get(b"authorization"), call.fields.get(_PURPOSE))

    async def _body(self, call: _Call, target: Target) -> Body:
        limit = limit_for(target.name, self._settings.max_body_bytes)
        began = perf_counter()
        raw = await read_body(call.receive, call.fields, limit)
        if perf_counter() - began > _SLOW_SECONDS:
            # Whoever sends slowly must not choose the moment at which consents and agreements are looked at.
            moment.forget()
        call.is_read = True
        call.exchange.received = len(raw)
        content_type = call.fields.get(b"content-type", b"")
        if (
            target.operation is not None
            and raw
            and is_content(target.operation, content_type, call.exchange.query)
        ):
            return Body(content=Content(content_type.decode("latin-1"), raw))
        depth = self._settings.max_depth
        if binary.is_write(target):
            method = call.scope["method"]
            return binary.received(target, method, call.fields, raw, most=limit, max_depth=depth)
        return decode_body(target.name, call.scope["method"], content_type, raw, max_depth=depth)


async def _native(call: _Call, reply: Reply, found: binary.Native) -> Messages:
    """Return the messages that send a Binary's content."""
    headers = headers_of(reply, call.base, call.exchange.request_id.encode()) + list(found.headers)
    body = found.content
    encodings = call.fields.get(b"accept-encoding")
    if encodings is not None and accepts_gzip(encodings):
        body = await packed(body, headers)
    return binary.native_messages(headers, body, head=call.scope["method"] == "HEAD")


def _path(scope: dict[str, Any]) -> str:
    """Return the path still percent-encoded: servers that decode it may have hidden a slash."""
    raw: bytes | None = scope.get("raw_path")
    if raw is None:
        return quote(scope["path"])
    return raw.decode("latin-1")


def _attempt(target: Target, method: str, parameters: Pairs, origin: Origin) -> Request:
    """Return what is known of a request that could not be read, or whose sender was not accepted."""
    return Request(
        name=target.name,
        type=target.type,
        id=target.id,
        operation=target.operation,
        method=method,
        parameters=parameters,
        base=origin.base,
        request_id=origin.request_id,
        address=origin.address,
        compartment=target.compartment,
        actor=origin.actor,
    )


def _address(scope: dict[str, Any]) -> str:
    """Return the sender's network address as the connection tells it; "" when it tells none."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def _below_base(path: str) -> str:
    if path == BASE_PATH:
        return "/"
    if path.startswith(BASE_PATH) and path[len(BASE_PATH)] == "/":
        return path[len(BASE_PATH) :]
    if path in PATHS:
        raise Fault(
            Kind.METHOD_NOT_ALLOWED, "This path answers GET and HEAD only.", headers=(("Allow", "GET, HEAD"),)
        )
    raise Fault(Kind.NOT_FOUND, f"Nothing is served here. The FHIR service is under {BASE_PATH}.")


def _unexpected(call: _Call, error: Exception) -> Reply:
    _log_failure(call, error)
    request_id = call.exchange.request_id
    sentence = f"The server failed unexpectedly. Tell its operator this request id: {request_id}."
    return fault_reply(Fault(Kind.EXCEPTION, sentence))


def _log_failure(call: _Call, error: BaseException) -> None:
    fields = {"request_id": call.exchange.request_id}
    _LOG.error("Unexpected exception", exc_info=error, extra={"fields": fields})


def _timed_out(method: str, seconds: float) -> Fault:
    sentence = f"The request took longer than {seconds:g} seconds and was given up."
    if method not in _SAFE:
        sentence += " It may or may not have been carried out: read before you send it again."
    return Fault(Kind.UNAVAILABLE, sentence, issues=(Issue("error", "timeout", sentence),))
