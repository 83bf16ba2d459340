"""Start and stop what is measured, as its users would, and ask the system what it costs."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

HOST = "127.0.0.1"
_BIN = Path(sys.executable).parent
_PATIENCE = 60.0
_WINDOW = 1.5
"""Seconds that a server is watched for: longer than the one that it rests between two looks at its audit."""
_IDLE = 0.05
"""What share of a processor an idle server uses at most."""


class StartError(RuntimeError):
    """A server was not ready in time, or ended; the message says which and what it said last."""


@dataclass(slots=True)
class Server:
    """A server as a process tree. ``ready``: a path that answers 200 once it serves; ``folder``: its data."""

    name: str
    command: Sequence[str]
    port: int
    ready: str
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def authority(self) -> str:
        """Host and port."""
        return f"{HOST}:{self.port}"

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self.folder.with_name(f"{self.folder.name}-{self.port}.log")

    def start(self) -> float:
        """Start it and return the seconds from the start of the process until it was ready."""
        began = time.perf_counter()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )
        while time.perf_counter() - began < _PATIENCE:
            if self.process.poll() is not None:
                raise StartError(f"{self.name} ended with {self.process.returncode}: {self._last_words()}")
            if answers(self.port, self.ready):
                return time.perf_counter() - began
            time.sleep(0.01)
        self.stop()
        raise StartError(f"{self.name} was not ready after {_PATIENCE:g} s: {self._last_words()}")

    def stop(self) -> None:
        """Ask it to stop and wait; end it when it does not."""
        process, self.process = self.process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGCONT)  # a process that is paused hears nothing
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            # Its workers are in the session that was made for it.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def pause(self) -> None:
        """Stop all its processes until :meth:`resume`."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let its processes go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, number)

    def rest(self) -> None:
        """Wait until it has nothing more to do, such as an index that it brings up to date when nobody asks.

        Raises :class:`StartError` when it is busy for longer than a minute. Without /proc it has two seconds.
        """
        if self.process is None or not Path("/proc/self/stat").exists():
            time.sleep(2)
            return
        ends = time.perf_counter() + _PATIENCE
        spent = self._spent()
        while time.perf_counter() < ends:
            time.sleep(_WINDOW)
            before, spent = spent, self._spent()
            if spent - before < _WINDOW * _IDLE:
                return
        raise StartError(f"{self.name} was still busy after {_PATIENCE:g} s though nobody asked it anything")

    def _spent(self) -> float:
        """Return the processor time that all its processes have used, in seconds."""
        return 0.0 if self.process is None else sum(_processor_time(pid) for pid in _family(self.process.pid))

    def memory(self, *, mapped: bool = True) -> float | None:
        """Return the resident memory of all its processes, in MB (10⁶ bytes); None without /proc.

        ``mapped``: with the pages of mapped files, which the system takes back when others need room.
        """
        if self.process is None or not Path("/proc/self/status").exists():
            return None
        fields = ("VmRSS",) if mapped else ("RssAnon", "RssShmem")
        return sum(_resident(pid, fields) for pid in _family(self.process.pid)) / 1000

    def disk(self) -> int:
        """Return the bytes of its data folder, logs and keys included."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return " / ".join(lines[-3:])


def answers(port: int, path: str) -> bool:
    """Tell whether the server answers the path with 200."""
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


_UNLIMITED = {"FHIR_CLIENT_RATE": "0", "FHIR_ADDRESS_RATE": "0", "FHIR_LOGIN_RATE": "0"}


def ours(folder: Path, workers: int = 1) -> Server:
    """Return this project's server, made as a user makes it: `init` a fresh store, then `serve` it."""
    if not folder.exists():
        command = [str(_BIN / "fhir-server"), "init", "--data", str(folder)]
        made = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_PATIENCE)
        if made.returncode:
            raise StartError(f"fhir-server init failed: {made.stderr.strip()}")
    port = free_port()
    command = [str(_BIN / "fhir-server"), "serve", "--data", str(folder), "--port", str(port)]
    command += ["--workers", str(workers), "--insecure-no-auth"]
    name = "fhir-server" if workers == 1 else f"fhir-server --workers {workers}"
    # The peer keeps no audit: what the audit costs is a row of its own.
    environment = {"FHIR_AUDIT": "false", **_UNLIMITED}
    return Server(name, command, port, "/health/ready", folder, environment=environment)


def guarded(folder: Path) -> Server:
    """Return this project's server on the store in ``folder``, asking for tokens and keeping its audit."""
    port = free_port()
    command = [str(_BIN / "fhir-server"), "serve", "--data", str(folder), "--port", str(port)]
    environment = {"FHIR_AUDIT": "true", "FHIR_INSECURE_NO_AUTH": "false", "FHIR_BASE_URL": "", **_UNLIMITED}
    name = "fhir-server with tokens and audit"
    return Server(name, command, port, "/health/ready", folder, environment=environment)


def ceiling(folder: Path) -> Server:
    """Return the bare ASGI application under the same HTTP server and event loop."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "tests.bench.ceiling:app",
        "--host",
        HOST,
        "--port",
        str(port),
    ]
    command += ["--loop", "uvloop", "--http", "httptools", "--lifespan", "off"]
    command += ["--no-access-log", "--no-server-header", "--log-level", "warning"]
    return Server("raw ASGI", command, port, "/", folder)


def _family(pid: int) -> list[int]:
    """Return the process and all that descend from it."""
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += [int(child) for child in children.read_text().split()]
            except OSError:  # it ended meanwhile
                continue
    return found


def _processor_time(pid: int) -> float:
    """Return the seconds of processor that a process has used, its ended children left aside."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0.0
    # The name of the program stands in parentheses and may hold anything; user and system time are 14 and 15.
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident(pid: int, fields: tuple[str, ...]) -> float:
    """Return the sum of some fields of a process's status in kB (1000 bytes)."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    told = (line.split() for line in lines)
    return sum(int(words[1]) * 1.024 for words in told if words and words[0].rstrip(":") in fields)
