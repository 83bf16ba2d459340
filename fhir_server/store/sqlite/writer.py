"""The one writer of a process: a thread, its own connection, and a queue whose commits share an fsync.

Whatever waits when the writer gets its turn, up to :data:`GROUP` commits, becomes one durable transaction.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast

from fhir_server.faults import Fault
from fhir_server.store.api import Condition, Reclass, Stale, StillReferenced
from fhir_server.store.sqlite import seals
from fhir_server.store.sqlite.batch import Batch, SqlitePrepared, Tools
from fhir_server.store.sqlite.names import Draft, Names
from fhir_server.store.sqlite.stamps import Changes
from fhir_server.store.sqlite.trouble import closed, unavailable
from fhir_server.store.sqlite.turns import Turns

T = TypeVar("T")

GROUP: Final = 16

Outcome = tuple[Any, BaseException | None]


@dataclass(slots=True)
class _Commit:
    prepared: Sequence[SqlitePrepared]
    conditions: Sequence[Condition]
    reclasses: Sequence[Reclass]
    future: asyncio.Future[Any]


@dataclass(slots=True)
class _Task:
    """Other work for the writer's connection, inside a transaction of its own."""

    work: Callable[[sqlite3.Connection], Any]
    future: asyncio.Future[Any]


class Writer:
    """Start it with a way to connect; give it commits; close it."""

    def __init__(
        self,
        connect: Callable[[], sqlite3.Connection],
        turns: Turns,
        changes: Changes,
        names: Names,
        tools: Tools,
    ) -> None:
        self._connect = connect
        self._connection: sqlite3.Connection | None = connect()
        self._turns = turns
        self._changes = changes
        self._names = names
        self._tools = tools
        self._jobs: queue.SimpleQueue[_Commit | _Task | None] = queue.SimpleQueue()
        self._marked: set[int] = set()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="store-write", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """True while it takes commits."""
        return not self._closing and self._thread.is_alive()

    async def commit(
        self,
        prepared: Sequence[SqlitePrepared],
        conditions: Sequence[Condition],
        reclasses: Sequence[Reclass],
    ) -> None:
        """Return when the commit is durable; raise why it is not."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._put(_Commit(prepared, conditions, reclasses, future))
        await future

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work`` in a write transaction of its own and return what it returns."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._put(_Task(work, future))
        return await future

    async def close(self) -> None:
        """Finish what was accepted, then stop."""
        if not self._closing:
            self._closing = True
            self._jobs.put(None)
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    def _put(self, job: _Commit | _Task) -> None:
        if not self.alive:
            raise closed()
        self._jobs.put(job)

    def _work(self) -> None:
        running = True
        while running:
            jobs = self._take()
            running = None not in jobs
            commits = [job for job in jobs if isinstance(job, _Commit)]
            if commits:
                outcomes = self._commit_group(commits)
                _settle([(each.future, outcome) for each, outcome in zip(commits, outcomes, strict=True)])
            for job in jobs:
                if isinstance(job, _Task):
                    _settle([(job.future, self._carry_out(job))])
        with contextlib.suppress(sqlite3.Error):
            self._disconnect()

    def _take(self) -> list[_Commit | _Task | None]:
        """Wait for a job, and take with it what waits already; None asks the thread to end."""
        jobs = [self._jobs.get()]
        while len(jobs) < GROUP and jobs[-1] is not None:
            try:
                jobs.append(self._jobs.get_nowait())
            except queue.Empty:
                break
        return jobs

    def _commit_group(self, commits: Sequence[_Commit]) -> list[Outcome]:
        """Write a group; when the engine refuses it, each by itself, so that a small one may still fit."""
        outcomes: list[Outcome] = []

        def all_of_them(connection: sqlite3.Connection) -> Draft:
            outcomes.clear()
            draft = Draft(self._names, connection)
            batch = Batch(connection, draft, self._tools)
            outcomes.extend((None, _add(batch, commit)) for commit in commits)
            batch.flush()
            return draft

        draft, error = self._transaction(all_of_them)
        if error is None:
            cast("Draft", draft).adopt()
            return outcomes
        if len(commits) == 1 or isinstance(error, Fault):
            return [(None, error)] * len(commits)
        return [self._commit_group([commit])[0] for commit in commits]

    def _carry_out(self, task: _Task) -> Outcome:
        result, error = self._transaction(task.work)
        return result, unavailable(error) if isinstance(error, sqlite3.Error) else error

    def _transaction(self, work: Callable[[sqlite3.Connection], T]) -> tuple[T | None, BaseException | None]:
        """Run ``work`` between BEGIN and COMMIT in this process's turn; nothing of it stays on an error."""
        try:
            with self._turns.turn():
                try:
                    return self._within(work), None
                except BaseException:
                    # Before the turn ends: the next process must not find the file locked.
                    self._roll_back()
                    raise
        except Exception as error:  # noqa: BLE001 - the writer must outlive every failure; the caller gets it
            return None, error

    def _within(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._connected()
        connection.execute("BEGIN IMMEDIATE")
        # Looked at inside the turn, so that no key is retired between here and COMMIT.
        self._tools.envelope.refresh()
        number = self._tools.envelope.active
        if number not in self._marked:
            seals.mark(connection, self._tools.envelope)
        result = work(connection)
        with self._changes.moving():
            connection.execute("COMMIT")
        self._marked.add(number)
        return result

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _roll_back(self) -> None:
        try:
            if self._connection is not None and self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            # A connection that cannot even roll back is replaced; the file's journal keeps it whole.
            with contextlib.suppress(sqlite3.Error):
                self._disconnect()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _add(batch: Batch, commit: _Commit) -> BaseException | None:
    """Check and stage one commit; its own failure is its own, the engine's is the group's."""
    try:
        batch.add(commit.prepared, commit.conditions, commit.reclasses)
    except sqlite3.Error:
        raise
    except (Stale, StillReferenced, Fault) as refusal:
        return refusal
    except Exception as error:  # noqa: BLE001 - a commit that cannot be computed must not fail its neighbours
        return error
    return None


def _settle(results: Sequence[tuple[asyncio.Future[Any], Outcome]]) -> None:
    """Hand results to their event loops, one wake-up for each loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Outcome]]] = {}
    for future, outcome in results:
        by_loop.setdefault(future.get_loop(), []).append((future, outcome))
    for loop, some in by_loop.items():
        # A loop that was closed has nobody left who waits.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_resolve, some)


def _resolve(results: Sequence[tuple[asyncio.Future[Any], Outcome]]) -> None:
    for future, (value, error) in results:
        if future.done():
            continue
        if isinstance(error, sqlite3.Error):
            future.set_exception(unavailable(error))
        elif error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)
