"""The load generator: one process, non-blocking sockets, every request's latency; bounded in count and time.

Reads a pickled :class:`tests.bench.job.Job` from standard input, writes a pickled report to standard output.
It talks to 127.0.0.1 and to nothing else.
"""

from __future__ import annotations

import gc
import pickle
import selectors
import socket
import sys
import time
from collections.abc import Iterator
from itertools import cycle

from tests.bench.job import Job, Outcome, Report, Stream
from tests.bench.wire import NotHttpError, Reply, ReplyReader

HOST = "127.0.0.1"
_MOST_REFUSALS = 50
"""A stream that was refused this often stops: it measures nothing any more."""
_READ = selectors.EVENT_READ
_READ_WRITE = selectors.EVENT_READ | selectors.EVENT_WRITE
_now = time.perf_counter


class Lane:
    """One connection of a stream: sends, waits for the answer, sends again.

    In a paced stream a request is due at a given time. When the last answer came too late for that, the time
    is counted from when the request was due: a server that stalls is charged for everyone it kept waiting.
    """

    __slots__ = ("busy", "due", "out", "outcome", "pending", "period", "reader", "sent", "socket")

    def __init__(
        self, port: int, outcome: Outcome, pending: Iterator[bytes], period: float, due: float
    ) -> None:
        self.socket = socket.create_connection((HOST, port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.reader = ReplyReader()
        self.outcome = outcome
        self.pending = pending
        self.period = period
        self.due = due
        self.out = memoryview(b"")
        self.sent = 0.0
        self.busy = False

    def send_next(self, *, late: bool) -> bool:
        """Send the next request; ``late``: it was due before it could be sent. False when there is none."""
        data = next(self.pending, None)
        if data is None:
            return False
        self.busy = True
        self.sent = self.due if late else _now()
        self.due += self.period
        self.out = memoryview(data)
        self.flush()
        return True

    def flush(self) -> None:
        """Send as much as the socket takes."""
        try:
            self.out = self.out[self.socket.send(self.out) :]
        except BlockingIOError:
            return

    def receive(self) -> Reply | None:
        """Read what is there; return the reply once whole. Raises :class:`NotHttpError` when hung up on."""
        data = self.socket.recv(1 << 16)
        if not data:
            raise NotHttpError("the server closed the connection")
        return self.reader.feed(data)


class Generator:
    """Runs one job: a loop over a selector."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._selector = selectors.DefaultSelector()
        self._outcomes = [Outcome(stream.name) for stream in job.streams]
        self._waiting: list[Lane] = []
        self._busy = 0
        self._stop = False

    def run(self) -> Report:
        """Send until the time is over or the requests are; then take the answers that are still to come."""
        started, cpu = _now(), time.process_time()
        lanes = [
            lane for pair in zip(self._job.streams, self._outcomes, strict=True) for lane in self._open(*pair)
        ]
        began = _now()
        for lane in lanes:
            lane.due += began - started
            if not lane.period:
                self._go(lane, late=False)
            else:
                self._waiting.append(lane)
        self._loop(began, began + self._job.seconds)
        for lane in lanes:
            lane.socket.close()
            if lane.busy:
                self._refuse(lane.outcome, f"no answer within {self._job.grace:g} s after the deadline")
        return Report(self._outcomes, time.process_time() - cpu)

    def _open(self, stream: Stream, outcome: Outcome) -> Iterator[Lane]:
        pending = iter(stream.requests) if stream.once else cycle(stream.requests)
        period = stream.connections / stream.rate if stream.rate else 0.0
        for number in range(stream.connections):
            # Connections of a paced stream take turns, so that requests come evenly.
            due = _now() + period * number / stream.connections
            lane = Lane(self._job.port, outcome, pending, period, due)
            self._selector.register(lane.socket, _READ, lane)
            yield lane

    def _loop(self, began: float, deadline: float) -> None:
        end = deadline + self._job.grace
        while True:
            now = _now()
            if now >= deadline:
                self._stop = True
            if (self._stop and not self._busy) or now >= end:
                break
            for key, mask in self._selector.select(self._patience(now, end if self._stop else deadline)):
                lane: Lane = key.data
                if mask & selectors.EVENT_WRITE:
                    self._flush(lane)
                if mask & selectors.EVENT_READ:
                    self._take(lane, began)
            if self._waiting and not self._stop:
                self._release(_now())

    def _patience(self, now: float, end: float) -> float:
        due = min((lane.due for lane in self._waiting), default=end)
        return max(0.0, min(due, end) - now)

    def _release(self, now: float) -> None:
        due = [lane for lane in self._waiting if lane.due <= now]
        if due:
            self._waiting = [lane for lane in self._waiting if lane.due > now]
            for lane in due:
                self._go(lane, late=False)

    def _go(self, lane: Lane, *, late: bool) -> None:
        if lane.send_next(late=late):
            self._busy += 1
            if lane.out:
                self._selector.modify(lane.socket, _READ_WRITE, lane)
        else:
            # The requests are used up: the other streams have nothing left to be measured beside.
            self._stop = True

    def _flush(self, lane: Lane) -> None:
        lane.flush()
        if not lane.out:
            self._selector.modify(lane.socket, _READ, lane)

    def _take(self, lane: Lane, began: float) -> None:
        try:
            reply = lane.receive()
        except (NotHttpError, OSError) as error:
            self._lose(lane, str(error))
            return
        if reply is None:
            return
        now = _now()
        lane.busy = False
        self._busy -= 1
        outcome = lane.outcome
        outcome.elapsed = now - began
        if 200 <= reply.status < 300:
            outcome.latencies.append(now - lane.sent)
        else:
            self._refuse(outcome, f"HTTP {reply.status}: {reply.body[:300].decode(errors='replace')}")
        if self._stop:
            return
        if lane.period and lane.due > now:
            self._waiting.append(lane)
        else:
            self._go(lane, late=bool(lane.period))

    def _lose(self, lane: Lane, why: str) -> None:
        """Give up a connection that broke; what it was waiting for counts as refused."""
        self._selector.unregister(lane.socket)
        lane.socket.close()
        if lane in self._waiting:
            self._waiting.remove(lane)
        self._busy -= lane.busy
        lane.busy = False
        self._refuse(lane.outcome, why)
        self._stop = self._stop or (not self._busy and not self._waiting)

    def _refuse(self, outcome: Outcome, why: str) -> None:
        outcome.refused += 1
        outcome.refusal = outcome.refusal or why
        self._stop = self._stop or outcome.refused >= _MOST_REFUSALS


def main() -> None:
    """Run the job on standard input."""
    job: Job = pickle.load(sys.stdin.buffer)
    gc.disable()  # a collection in the middle would be charged to the server
    report = Generator(job).run()
    pickle.dump(report, sys.stdout.buffer)


if __name__ == "__main__":
    main()
