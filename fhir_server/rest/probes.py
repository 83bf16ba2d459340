"""What is served beside the FHIR service: health, metrics, the OpenAPI document; no personal data."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from fhir_server.rest.openapi import document

if TYPE_CHECKING:
    from fhir_server.rest.observe import Observer

PATHS = frozenset({"/health/live", "/health/ready", "/metrics", "/openapi.json"})
_JSON = "application/json"
_PATIENCE = 5.0
_LOG = logging.getLogger("fhir_server.rest")
_ENCODE = msgspec.json.Encoder().encode


class Answer(NamedTuple):
    """A probe's answer; ``name`` is what the log calls it."""

    name: str
    status: int
    content_type: str
    body: bytes


class Probes:
    """Answers GET on :data:`PATHS`. ``draining`` is set by the dispatcher when the server is to stop."""

    def __init__(self, ready: Callable[[], Awaitable[bool]], observer: Observer) -> None:
        self._ready = ready
        self._observer = observer
        self.draining = False

    async def answer(self, path: str) -> Answer:
        """Answer one of :data:`PATHS`; health answers 503 when not ready, the others always 200."""
        if path == "/health/live":
            return Answer("health", 200, _JSON, _ENCODE({"status": "live"}))
        if path == "/health/ready":
            ready = not self.draining and await self._is_ready()
            status = (200, "ready") if ready else (503, "unavailable")
            return Answer("health", status[0], _JSON, _ENCODE({"status": status[1]}))
        if path == "/metrics":
            return Answer("metrics", 200, CONTENT_TYPE_PLAIN_0_0_4, self._observer.exposition())
        return Answer("openapi", 200, _JSON, document())

    async def _is_ready(self) -> bool:
        try:
            async with asyncio.timeout(_PATIENCE):
                return await self._ready()
        except Exception:  # noqa: BLE001 whatever fails, the answer is "not ready"
            _LOG.exception("The readiness check failed")
            return False
