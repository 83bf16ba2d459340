"""The gate before all HTTP: rates, origins (CORS), and which of the two applications answers a path.

https://hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html#considerations-for-cross-origin-resource-sharing-cors-support
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from fhir_server.access.actor import Actor
from fhir_server.faults import Fault, Kind
from fhir_server.interactions.request import Reply, Request
from fhir_server.resources.outcome import outcome
from fhir_server.smart.house import House
from fhir_server.smart.rates import Rate
from fhir_server.smart.routes import application

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]
Header = tuple[bytes, bytes]

_LOG = logging.getLogger("fhir_server.smart")
_FRESH_MS: Final = 5_000
_KEPT: Final = 1_000
_MAX_ORIGIN: Final = 300
_ASKED: Final = (
    b"authorization, content-type, accept, if-match, if-none-match, if-modified-since, if-none-exist, "
    b"prefer, x-purpose-of-use, x-request-id, x-security-context"
)
_PREFLIGHT: Final[tuple[Header, ...]] = (
    (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, PATCH, DELETE"),
    (b"access-control-allow-headers", _ASKED),
    (b"access-control-max-age", b"600"),
)
_TOLD: Final = (
    b"etag, last-modified, location, content-location, www-authenticate, retry-after, x-request-id, "
    b"x-security-context"
)
_EXPOSED: Final[Header] = (b"access-control-expose-headers", _TOLD)
_PUBLIC: Final = (
    "/metadata",
    "/.well-known/smart-configuration",
    "/.well-known/openid-configuration",
    "/auth/jwks",
    "/auth/style.json",
)
"""What pages of any origin may read: it is the same for everybody."""
_APART: Final = ("/health/", "/metrics")


class Gate:
    """An ASGI application over ``rest``, the FHIR interface, and the authorization server of ``house``.

    ``base_path``: the path below which both lie.
    """

    def __init__(self, house: House, rest: App, base_path: str) -> None:
        self._house = house
        self._rest = rest
        self._base = base_path
        self._application = application(house, base_path)
        self._apart = (f"{base_path}/auth/flow", f"{base_path}/auth/admin", f"{base_path}/auth/apps")
        self._addresses = Rate(house.settings.address_rate)
        self._logins = Rate(house.settings.login_rate)
        self._origins: OrderedDict[str, tuple[bool, int]] = OrderedDict()

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        path: str = scope["path"]
        ours = self._is_ours(path)
        origin = _header(scope, b"origin")
        if origin is not None:
            allowed = await self._allowed(origin, path)
            send = _with_origin(send, allowed)
            if scope["method"] == "OPTIONS" and _header(scope, b"access-control-request-method"):
                await _send(send, 204, list(_PREFLIGHT) if allowed else [])
                return
        client = scope.get("client")
        wait = self._wait(client[0] if client else "", path, ours=ours)
        if wait:
            fault = throttled(wait)
            headers = [(name.lower().encode(), value.encode()) for name, value in fault.headers]
            headers.append((b"content-type", b"application/fhir+json; charset=utf-8"))
            await _send(send, fault.kind.status, headers, outcome(fault.issues))
            return
        if not ours:
            await self._house.keys.refresh()
            await self._rest(scope, receive, send)
            return
        try:
            await self._application(scope, receive, send)
        except Exception as error:  # noqa: BLE001 the outermost guard: nothing of it is told
            _LOG.error("Unexpected exception", exc_info=error)

    def _is_ours(self, path: str) -> bool:
        below = path.removeprefix(self._base)
        return len(below) < len(path) and below.startswith(("/auth/", "/.well-known/"))

    def _wait(self, address: str, path: str, *, ours: bool) -> int:
        """Return the seconds to wait; probes of the house itself are never held up."""
        if path.startswith(_APART):
            return 0
        wait = self._addresses.wait(address)
        return wait or (self._logins.wait(address) if ours and "/auth/" in path else 0)

    async def _allowed(self, origin: str, path: str) -> bytes:
        """Return the value of Access-Control-Allow-Origin; b"" for a page that has no business here."""
        if path.removeprefix(self._base) in _PUBLIC:
            return b"*"
        if len(origin) > _MAX_ORIGIN or path.startswith(
            (f"{self._base}/auth/flow", f"{self._base}/auth/admin")
        ):
            return b""
        now = self._house.clock()
        known, looked = self._origins.get(origin, (False, -_FRESH_MS))
        if now - looked >= _FRESH_MS:
            known = bool(await self._house.shelves.clients.find(f"origin {origin.lower()}"))
            self._origins[origin] = (known, now)
            if len(self._origins) > _KEPT:
                self._origins.popitem(last=False)
        return origin.encode("latin-1") if known else b""


class Limited:
    """The one door, with a limit on what one client may ask; its ``run`` takes the place of the runner's."""

    def __init__(self, run: Callable[[Request], Awaitable[Reply]], per_second: float) -> None:
        self._run = run
        self._rate = Rate(per_second)

    async def __call__(self, request: Request) -> Reply:
        """Run an interaction; Fault THROTTLED when the client has asked too often."""
        actor: Actor | None = request.actor
        if actor is not None and (wait := self._rate.wait(actor.client)):
            raise throttled(wait)
        return await self._run(request)


def throttled(seconds: int) -> Fault:
    """Return the 429 that says when to come again. RFC 6585 section 4"""
    return Fault(
        Kind.THROTTLED,
        "You send more requests than this server takes from one sender; wait as long as Retry-After says.",
        headers=(("Retry-After", str(seconds)),),
    )


def _header(scope: dict[str, Any], name: bytes) -> str | None:
    for key, value in scope["headers"]:
        if key == name:
            return str(value, "latin-1")
    return None


def _with_origin(send: Send, allowed: bytes) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            extra: list[Header] = []
            if allowed:
                extra = [(b"access-control-allow-origin", allowed), _EXPOSED]
            headers = [*message["headers"], *extra]
            message = {**message, "headers": _varying(headers)}
        await send(message)

    return sending


def _varying(headers: list[Header]) -> list[Header]:
    """Say that the answer depends on the origin: a cache must not hand one page's answer to another."""
    vary = b", ".join([value for name, value in headers if name == b"vary"] + [b"origin"])
    return [*((name, value) for name, value in headers if name != b"vary"), (b"vary", vary)]


async def _send(send: Send, status: int, headers: list[Header], body: bytes = b"") -> None:
    headers = [*headers, (b"cache-control", b"no-store")]
    if status != 204:
        headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
