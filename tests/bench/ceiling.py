"""The ceiling: an ASGI application that answers every request with the same 1.6 KB and does nothing else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

_BODY = b'{"resourceType":"Basic","id":"ceiling","text":"' + b"x" * 1551 + b'"}'
_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [
        (b"content-type", b"application/fhir+json; charset=utf-8"),
        (b"content-length", str(len(_BODY)).encode()),
    ],
}
_REST = {"type": "http.response.body", "body": _BODY}


async def app(
    _scope: dict[str, Any],
    _receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Answer one HTTP request."""
    await send(_START)
    await send(_REST)
