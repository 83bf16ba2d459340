"""Logs as one JSON object a line on stderr, for machines to read and without personal data.

A stack is told as file, line and function; the words of an exception are not, for they may quote a record.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import traceback
from functools import lru_cache
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any, TextIO

import msgspec

from fhir_server.clock import instant

if TYPE_CHECKING:
    from types import TracebackType

_ENCODE = msgspec.json.Encoder().encode
_OURS = "fhir_server"
_FRAMES = 30


class AccessLine(msgspec.Struct, gc=False):
    """What the log says of one request: the fields of a JSON line, in this order."""

    time: str
    level: str
    logger: str
    event: str
    request_id: str
    method: str
    interaction: str
    type: str
    query: str
    status: int
    ms: float
    received: int
    bytes: int


def stderr() -> TextIO:
    """Return where the lines go."""
    return sys.stderr


class Lines:
    """Writes lines to stderr, those of one turn of the event loop as one piece.

    Not through ``logging``: a record, its handlers and a system call for each line were a sixth of a read.
    """

    def __init__(self) -> None:
        self._waiting: list[bytes] = []

    def write(self, line: AccessLine) -> None:
        """Write ``line`` before the next turn of the event loop begins."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self.flush)
        self._waiting.append(_ENCODE(line))

    def flush(self) -> None:
        """Write what waits."""
        lines, self._waiting = self._waiting, []
        # Nobody reads the log any more: that must not end the server, and there is no place left to say it.
        with contextlib.suppress(OSError, ValueError):
            stream = stderr()
            stream.write(b"\n".join([*lines, b""]).decode())
            stream.flush()


class JsonFormatter(logging.Formatter):
    """Formats a record as one line: time, level, logger, event, then the record's ``fields`` if it has any.

    Of records by libraries only the first line is kept: further lines quote objects and exceptions.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the JSON text of ``record``, without a line feed."""
        line: dict[str, Any] = {
            "time": moment(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": _event(record),
        }
        line.update(getattr(record, "fields", {}))
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = record.exc_info[0].__name__
            line["stack"] = _stack(record.exc_info[2])
        return _ENCODE(line).decode()


def configure_logging(level: str) -> None:
    """Send all logs of ``level`` (debug, info, warning, error) and above to stderr as JSON lines.

    uvicorn's access log is closed: it holds paths and query strings. So is what the database's driver says
    for debugging: addresses, and every command with its values.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    # Each record would otherwise look up its thread and process, which no line shows.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.asgi"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    access = logging.getLogger("uvicorn.access")
    access.handlers.clear()
    access.propagate = False
    logging.getLogger("pymongo").setLevel(logging.WARNING)


@lru_cache(maxsize=4)
def _second(second: int) -> str:
    return instant(second * 1000)[:-4]


def moment(seconds: float | None = None) -> str:
    """Write seconds since the epoch, the present unless given, as a line's time."""
    if seconds is None:
        seconds = time()
    return f"{_second(int(seconds))}{int(seconds * 1000) % 1000:03d}Z"


def _event(record: logging.LogRecord) -> str:
    text = record.getMessage()
    if record.name == _OURS or record.name.startswith(_OURS + "."):
        return text
    return text.partition("\n")[0][:200]


def _stack(trace: TracebackType | None) -> list[str]:
    frames = traceback.extract_tb(trace)[-_FRAMES:]
    return [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
