"""The MongoDB that tests use: the server that ``MONGODB_URI`` names, else a stand-in that is started here.

The stand-in is PyPI's secantusdb, which speaks MongoDB's wire protocol: a process of its own, one for each
pytest worker, with a port and a folder of its own. It is a development dependency under the GPL; nothing
imports it. Where neither is to be had the tests fail: a store that is not tested is not skipped.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

from pymongo import MongoClient
from pymongo.errors import PyMongoError

_PATIENCE = 30.0
_MEMORY = Path("/dev/shm")
_ROOM = 4 << 30
_PROGRAM = Path(sys.executable).with_name("secantusd-py")
_PR_SET_PDEATHSIG = 1


class StandIn:
    """One stand-in process; its folder outlives :meth:`kill`: :meth:`start` goes on with what it held.

    Every commit is on the disk before it is acknowledged. ``test_commands``: it can be told to fail.
    """

    def __init__(self, folder: Path, *, test_commands: bool = False) -> None:
        self.folder = folder
        self.port = free_port()
        self._options = ["--enable-test-commands"] if test_commands else []
        self._process: subprocess.Popen[bytes] | None = None

    def address(self, database: str = "", port: int = 0) -> str:
        """Return the address of a database; ``port``: by way of what listens there instead."""
        direct = "directConnection=true&" if port else ""
        return f"mongodb://127.0.0.1:{port or self.port}/{database}?{direct}replicaSet=secantus"

    def start(self) -> None:
        """Start it and wait until it answers. It ends with the thread that calls this."""
        log = self.folder.with_suffix(".log")
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [
                    str(_PROGRAM),
                    *("--port", str(self.port), "--storage-path", str(self.folder)),
                    *("--sync-on-commit", "--log-level", "ERROR", *self._options),
                ],
                stdout=output,
                stderr=output,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - it makes one system call, no Python lock
            )
        end = time.monotonic() + _PATIENCE
        with MongoClient[dict[str, Any]](self.address(), serverSelectionTimeoutMS=200) as client:
            while not _answers(client):
                assert self._process.poll() is None, log.read_text()
                assert time.monotonic() < end, log.read_text()

    @property
    def is_running(self) -> bool:
        """True until it has ended, by itself or by :meth:`kill`."""
        return self._process is not None and self._process.poll() is None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Have it hang while the block runs, as a machine without power to compute does."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        # It goes on for a moment, as long as it takes until each of its threads has heard of it.
        os.waitpid(self._process.pid, os.WUNTRACED)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@cache
def _server() -> str:
    """Return the address of the server without a database, starting the stand-in when none was named."""
    if named := os.environ.get("MONGODB_URI", ""):
        return named
    folder = tempfile.TemporaryDirectory(prefix="stand-in-", dir=_place(), ignore_cleanup_errors=True)
    stand_in = StandIn(Path(folder.name) / "data")
    atexit.register(folder.cleanup)
    atexit.register(stand_in.kill)
    stand_in.start()
    return stand_in.address()


def _place() -> Path | None:
    """Return where the stand-in keeps its files: in memory where there is room, else where others are kept.

    Its every commit waits for its disk, which takes longer than all else that the tests do; and what ends a
    test's server, a signal, leaves what lies in memory as it leaves a disk.
    """
    is_there = _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK)
    return _MEMORY if is_there and shutil.disk_usage(_MEMORY).free > _ROOM else None


def address(database: str) -> str:
    """Return the address of a database of the tests' server."""
    parts = urlsplit(_server())
    return urlunsplit(parts._replace(path=f"/{database}"))


@contextmanager
def database() -> Iterator[str]:
    """Give the address of a new database for as long as the block runs."""
    name = f"t{uuid4().hex[:20]}"
    try:
        yield address(name)
    finally:
        drop(name)


def is_stand_in() -> bool:
    """Tell whether the tests' server is the stand-in, and not one that was named."""
    return not os.environ.get("MONGODB_URI", "")


def drop(*names: str) -> None:
    """Remove databases of the tests' server, and those of their audit logs.

    Not those of the stand-in: it takes milliseconds for each document, and its folder goes with it.
    """
    if is_stand_in():
        return
    with MongoClient[dict[str, Any]](_server(), serverSelectionTimeoutMS=10_000) as client:
        for name in names:
            client.drop_database(name)
            client.drop_database(f"{name}_audit")


def _answers(client: MongoClient[dict[str, Any]]) -> bool:
    try:
        client.admin.command("ping")
    except PyMongoError:
        return False
    return True


def _end_with_parent() -> None:
    # A worker that is killed leaves no server behind; nor does a thread of it that ends.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
