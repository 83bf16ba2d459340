"""Two server processes on one database, called in turn as if they were one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from tests import engines
from tests.http.process import Process
from tests.http.server import Server


class InTurn(httpx.AsyncBaseTransport):
    """Sends each request to the next of several ports."""

    def __init__(self, ports: list[int]) -> None:
        self._ports = ports
        self._sent = 0
        self._wire = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request on; the Host header stays, so that links lead here again."""
        request.url = request.url.copy_with(port=self._ports[self._sent % len(self._ports)])
        self._sent += 1
        return await self._wire.handle_async_request(request)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._wire.aclose()


class Pair(Server):
    """Two processes that share nothing but the database and the keys."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        with engines.using(engines.MONGODB):
            super().__init__(folder, **settings)
            self.processes = [Process(folder), Process(folder)]
        self.engine = engines.current()

    def start(self) -> None:
        """Start both."""
        for process in self.processes:
            process.start()
        self._client = httpx.AsyncClient(
            transport=InTurn([process.port for process in self.processes]),
            base_url=f"{self.processes[0].base}/",
            timeout=60,
        )

    def stop(self) -> None:
        """Stop both."""
        self._runner.run(self._client.aclose())
        for process in self.processes:
            process.stop()
