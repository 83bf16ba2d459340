"""``fhir-server serve`` as a process of its own, behind a real socket."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

from tests import engines

_COMMAND = [sys.executable, "-c", "from fhir_server.cli import main; main()"]
_PATIENCE = 30.0


class Process:
    """A served data folder; ``log`` holds what the server wrote.

    ``options``: of ``serve``, without authentication unless others are given; ``settings``: environment.
    """

    def __init__(
        self,
        folder: Path,
        *,
        workers: int = 1,
        options: tuple[str, ...] = ("--insecure-no-auth",),
        **settings: str,
    ) -> None:
        self.folder = folder
        self.log = folder.with_suffix(".log")
        self.port = _free_port()
        self.base = f"http://127.0.0.1:{self.port}/fhir"
        self._workers = workers
        self._options = options
        self._settings = {**engines.environment(folder), **settings}
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """Run another command of ``fhir-server`` on the folder to its end."""
        command = [*_COMMAND, *arguments, "--data", str(self.folder)]
        return subprocess.run(
            command,
            capture_output=True,
            timeout=_PATIENCE,
            check=False,
            env={**_environment(), **self._settings},
        )

    def start(self) -> None:
        """Serve, and wait until the server is ready."""
        options = ["--port", str(self.port), "--workers", str(self._workers), *self._options]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*_COMMAND, "serve", "--data", str(self.folder), *options],
                stdout=log,
                stderr=log,
                env={**_environment(), **self._settings},
                start_new_session=True,  # so that a kill takes the workers too, and nothing else
            )
        end = time.monotonic() + _PATIENCE
        while not self._is_ready():
            assert self._process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.05)

    def kill(self) -> None:
        """End the server as a power cut would: no handler runs."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> int:
        """Ask the server to stop; return its exit code."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.terminate()
        return self._process.wait(_PATIENCE)

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/health/ready", timeout=5).status_code == 200
        except httpx.TransportError:
            return False


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FHIR_")}
    return {**kept, "FHIR_LOG_LEVEL": "debug"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
