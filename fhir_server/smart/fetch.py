"""Fetch what others publish, and nothing else: no private address, no redirect, little, and soon.

An address that a client registers could otherwise make this server ask its own network (server-side request
forgery). https://cheatsheetseries.owasp.org/cheatsheets/Server_Side_Request_Forgery_Prevention_Cheat_Sheet.html
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

import httpx
import msgspec

from fhir_server.faults import Fault, Kind

MAX_BYTES: Final = 256 * 1024
SECONDS: Final = 5.0
DEFAULT_AGE: Final = 60
"""Seconds that an answer is kept which says nothing of it; and that one is kept which cannot be fetched."""
LONGEST_AGE: Final = 24 * 3600

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Host name and port to IP addresses."""

_max_age = re.compile(r"(?:^|[\s,])max-age=\"?(\d{1,9})", re.IGNORECASE).search
_uncached = re.compile(r"(?:^|[\s,])(?:no-store|no-cache)(?:[\s,=]|$)", re.IGNORECASE).search


class Fetched(NamedTuple):
    """A JSON object and for how many seconds it may be kept."""

    tree: dict[str, Any]
    age: int


async def resolve(host: str, port: int) -> list[str]:
    """Ask the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class Guarded(httpx.AsyncBaseTransport):
    """An httpx transport that connects to public addresses by https only, to the very address it checked.

    ``insecure``: for tests and development alone: http and private addresses too.
    """

    def __init__(
        self, inner: httpx.AsyncBaseTransport, resolve_: Resolve = resolve, *, insecure: bool = False
    ) -> None:
        self._inner = inner
        self._resolve = resolve_
        self._insecure = insecure

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Check the address, send the request to it, and read at most :data:`MAX_BYTES`."""
        host = request.url.host
        if request.url.scheme != "https" and not self._insecure:
            raise httpx.UnsupportedProtocol("only https is fetched", request=request)
        address = await self._address(request, host)
        pinned = httpx.Request(
            request.method,
            request.url.copy_with(host=address),
            headers=request.headers,  # the Host header still names the host
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": host},
        )
        response = await self._inner.handle_async_request(pinned)
        try:
            body = await _read(response, request)
        finally:
            await response.aclose()
        headers = [
            (name, value) for name, value in response.headers.raw if name.lower() not in _OF_THE_TRANSFER
        ]
        return httpx.Response(response.status_code, headers=headers, content=body)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()

    async def _address(self, request: httpx.Request, host: str) -> str:
        port = request.url.port or 443
        try:
            addresses = await self._resolve(host, port)
        except OSError as error:
            raise httpx.ConnectError("the host is unknown", request=request) from error
        if not addresses or not (self._insecure or all(is_public(address) for address in addresses)):
            raise httpx.ConnectError("the host has no public address", request=request)
        return addresses[0]


_OF_THE_TRANSFER: Final = frozenset({b"content-encoding", b"content-length", b"transfer-encoding"})


async def _read(response: httpx.Response, request: httpx.Request) -> bytes:
    body = b""
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MAX_BYTES:
            raise httpx.ReadError("the answer is too large", request=request)
    return body


def is_public(address: str) -> bool:
    """Tell whether an IP address is one of the public Internet, looking into addresses that wrap another."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = parsed.ipv4_mapped or parsed.sixtofour or (parsed.teredo and parsed.teredo[1])
        if inner:
            return inner.is_global and not inner.is_multicast
        if parsed in _NAT64:
            return False
    return parsed.is_global and not parsed.is_multicast


_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")


class Fetcher:
    """Fetches JSON through a guarded transport."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self.transport = transport
        self._client = httpx.AsyncClient(transport=transport, timeout=SECONDS, follow_redirects=False)

    async def json(self, url: str) -> Fetched:
        """GET a JSON object; Fault UNAVAILABLE when there is none to be had within :data:`SECONDS`."""
        response, tree = await self._ask("GET", url)
        return Fetched(tree, age_of(response.headers.get("cache-control", "")))

    async def exchange(self, url: str, form: dict[str, str], basic: tuple[str, str] | None) -> dict[str, Any]:
        """POST a form, with HTTP Basic if given, and return the JSON object that answers. Faults as json."""
        _, tree = await self._ask("POST", url, data=form, auth=basic)
        return tree

    async def _ask(self, method: str, url: str, **more: Any) -> tuple[httpx.Response, dict[str, Any]]:
        headers = {"accept": "application/json"}
        try:
            async with asyncio.timeout(SECONDS):
                response = await self._client.request(method, url, headers=headers, **more)
            tree = msgspec.json.decode(response.content)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError) as error:
            raise _unavailable() from error
        if response.status_code != 200 or not isinstance(tree, dict):
            raise _unavailable()
        return response, tree

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def age_of(cache_control: str) -> int:
    """Return for how many seconds a Cache-Control header lets an answer be kept.

    https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2
    """
    if _uncached(cache_control):
        return 0
    age = _max_age(cache_control)
    return min(int(age[1]), LONGEST_AGE) if age else DEFAULT_AGE


def _unavailable() -> Fault:
    return Fault(
        Kind.UNAVAILABLE,
        "What another server publishes could not be fetched: it must answer with JSON, over https, at once.",
    )
