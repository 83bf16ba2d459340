"""A wire between a server of the tests and MongoDB that can be cut, at any moment or at a chosen one.

It reads the length and the first words of each message alone (OP_MSG,
https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/), in a thread of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

_HEADER = 4
_LOOKING = (b"hello", b"ismaster", b"isMaster", b"ping", b"endSessions")


@dataclass(slots=True)
class Counted:
    """Requests that were answered, and bytes both ways."""

    trips: int = 0
    sent: int = 0
    received: int = 0

    def since(self, before: Counted) -> Counted:
        """Return what has come since."""
        return Counted(self.trips - before.trips, self.sent - before.sent, self.received - before.received)


class Proxy:
    """Listens on ``port`` and passes everything on to ``target`` until told otherwise."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._swallowed = b""
        self._times = 0
        self._is_cut = False
        self.port = 0
        self.counted = Counted()
        """What has passed, but for what clients say to see whether a server is there."""

    def __enter__(self) -> Self:
        started = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(started,), daemon=True)
        self._thread.start()
        assert started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def cut(self) -> None:
        """Break every connection and accept no new one."""
        self._is_cut = True
        self._call(self._break)

    def mend(self) -> None:
        """Let connections through again."""
        self._is_cut = False

    @contextmanager
    def being_cut(self) -> Iterator[None]:
        """Cut the wire for as long as the block runs."""
        self.cut()
        try:
            yield
        finally:
            self.mend()

    def swallow(self, command: str, times: int = 1) -> None:
        """Carry the next requests of ``command`` out, but cut the connection instead of answering."""
        self._swallowed, self._times = command.encode(), times

    @property
    def has_swallowed(self) -> bool:
        """True when every answer that was to be swallowed was."""
        return self._times == 0

    def _call(self, work: Callable[[], Awaitable[None]]) -> None:
        asyncio.run_coroutine_threadsafe(_awaited(work), self._loop).result(10)

    def _serve(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.close()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        self._open |= {writer, far_writer}
        doomed = asyncio.Event()
        answers: list[bool] = []
        try:
            await asyncio.gather(
                self._requests(reader, far_writer, doomed, answers),
                self._answers(far_reader, writer, doomed, answers),
            )
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            for each in (writer, far_writer):
                self._open.discard(each)
                each.close()

    async def _requests(
        self,
        reader: asyncio.StreamReader,
        to: asyncio.StreamWriter,
        doomed: asyncio.Event,
        answers: list[bool],
    ) -> None:
        while True:
            message = await _message(reader)
            if self._times and self._swallowed in message[:64]:
                self._times -= 1
                doomed.set()
            if not any(word in message[:64] for word in _LOOKING):
                self.counted.trips += 1
                self.counted.sent += len(message)
                answers.append(True)
            else:
                answers.append(False)
            to.write(message)
            await to.drain()

    async def _answers(
        self,
        reader: asyncio.StreamReader,
        to: asyncio.StreamWriter,
        doomed: asyncio.Event,
        answers: list[bool],
    ) -> None:
        while True:
            message = await _message(reader)
            if doomed.is_set():
                raise ConnectionResetError
            # Of a stream of answers to one request (of a monitor) the further ones find nothing here.
            if answers and answers.pop(0):
                self.counted.received += len(message)
            to.write(message)
            await to.drain()

    async def _break(self) -> None:
        for writer in list(self._open):
            writer.transport.abort()


async def _message(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(_HEADER)
    return head + await reader.readexactly(int.from_bytes(head, "little") - _HEADER)


async def _awaited(work: Callable[[], Awaitable[None]]) -> None:
    with contextlib.suppress(OSError):
        await work()
