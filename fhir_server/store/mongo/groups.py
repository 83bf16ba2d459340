"""The writer of a process: a few transactions at a time; what waits meanwhile is written together.

A commit that comes while a transaction is free begins at once. While all are busy, commits that depend on
nothing but versions gather, and up to :data:`GROUP` of them become one transaction: its round trips and its
wait for the disks of a majority are paid once. Two commits of this process that would be in each other's way
are not under way at the same time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import PyMongoError

from fhir_server.faults import Fault, Kind
from fhir_server.store.mongo import guards
from fhir_server.store.mongo.client import Uncertain, closed, unavailable
from fhir_server.store.mongo.commit import Batch, Commit, Finder, SealedBefore
from fhir_server.store.mongo.opening import mark
from fhir_server.store.mongo.prepared import seal
from fhir_server.store.mongo.tools import Tools
from fhir_server.store.mongo.writing import written

GROUP: Final = 16
"""Commits that become one transaction at most."""

AT_ONCE: Final = 4
"""Transactions that are under way at most."""

_SEALINGS: Final = 3

Claims = frozenset[guards.Guard]
"""What a commit touches: two that have something in common are not under way at once."""

Outcome = Exception | None


@dataclass(eq=False, slots=True)
class _Waiting:
    commit: Commit
    claims: Claims
    future: asyncio.Future[None]


class _AllRefused(Exception):
    """Nothing is left to write: the transaction ends without a trace."""


class Groups:
    """Give it commits; close it."""

    def __init__(self, tools: Tools, find: Finder) -> None:
        self._tools = tools
        self._find = find
        self._waiting: deque[_Waiting] = deque()
        self._busy: set[guards.Guard] = set()
        self._running: set[asyncio.Task[None]] = set()
        self._marked: set[int] = set()
        self._closing = False

    @property
    def alive(self) -> bool:
        """True while it takes commits."""
        return not self._closing

    async def commit(self, commit: Commit) -> None:
        """Return when the commit is durable; raise why it is not.

        Who is cancelled no longer waits; what he asked for may be carried out all the same.
        """
        if self._closing:
            raise closed()
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(commit, _claims(commit, self._tools), future))
        self._begin()
        await future

    async def close(self) -> None:
        """Finish what was accepted, then stop."""
        self._closing = True
        while self._running:
            await asyncio.wait(self._running)

    def _begin(self) -> None:
        """Begin as many transactions as may be under way."""
        while len(self._running) < AT_ONCE and (group := self._take()):
            claims = Claims().union(*(each.claims for each in group))
            self._busy |= claims
            task = asyncio.create_task(self._carry_out(group), name="commit")
            self._running.add(task)
            task.add_done_callback(partial(self._ended, claims))

    def _ended(self, claims: Claims, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._busy -= claims
        self._begin()

    def _take(self) -> list[_Waiting]:
        """Take the first commit that nobody is in the way of, and with it, if it is plain, others like it."""
        taken: list[_Waiting] = []
        left: deque[_Waiting] = deque()
        # Whoever waits longer goes first: what he touches is not taken by those behind him.
        held = set(self._busy)
        for each in self._waiting:
            fits = not taken or (len(taken) < GROUP and each.commit.is_plain and taken[0].commit.is_plain)
            if fits and held.isdisjoint(each.claims):
                taken.append(each)
            else:
                held |= each.claims
                left.append(each)
        self._waiting = left
        return taken

    async def _carry_out(self, group: Sequence[_Waiting]) -> None:
        outcomes = await self._write([each.commit for each in group])
        for each, outcome in zip(group, outcomes, strict=True):
            if outcome is not None:
                await self._forget_files(each.commit, outcome)
            if each.future.done():
                continue
            if outcome is None:
                each.future.set_result(None)
            else:
                each.future.set_exception(outcome)

    async def _write(self, commits: Sequence[Commit]) -> Sequence[Outcome]:
        """Write a group; when the engine refuses it, each by itself, so that a small one may still fit."""
        try:
            return await self._sealed(commits)
        except Exception as error:  # noqa: BLE001 - whoever waits must be told, whatever went wrong
            told = unavailable(error) if isinstance(error, PyMongoError) else error
            if len(commits) == 1 or _concerns_all(told):
                return [told] * len(commits)
            return [(await self._write([commit]))[0] for commit in commits]

    async def _sealed(self, commits: Sequence[Commit]) -> Sequence[Outcome]:
        """Seal under the key that holds now, and write; again while keys are being rotated meanwhile."""
        tools = self._tools
        for _ in range(_SEALINGS):
            tools.envelope.refresh()
            if tools.envelope.active not in self._marked:
                await mark(tools.engine, tools.envelope)
                self._marked.add(tools.envelope.active)
            for commit in commits:
                await self._make_ready(commit)
            try:
                return await self._transaction(commits)
            except SealedBefore:
                continue
        raise Fault(
            Kind.UNAVAILABLE,
            "The store's keys are being changed. Nothing was stored; repeat the request.",
            headers=(("Retry-After", "5"),),
        )

    async def _make_ready(self, commit: Commit) -> None:
        """Seal anew what was sealed before the key was rotated, and write what is too large to files."""
        tools = self._tools
        for place, item in enumerate(commit.prepared):
            if not tools.envelope.is_current(item.payload):
                commit.prepared[place] = replace(item, payload=seal(tools, item.change, item.digest))
                if place in commit.files:
                    await tools.files.forget([commit.files.pop(place)])
            if item.is_filed and place not in commit.files:
                commit.files[place] = await tools.files.write(commit.prepared[place].payload)

    async def _transaction(self, commits: Sequence[Commit]) -> Sequence[Outcome]:
        outcomes: list[Outcome] = []
        await self._tools.numbers.ready()

        async def work(session: AsyncClientSession) -> None:
            outcomes.clear()
            batch = Batch(self._tools, session, self._find)
            await batch.begin(commits)
            outcomes.extend([await _added(batch, commit) for commit in commits])
            if all(outcomes):
                raise _AllRefused
            await batch.write()

        try:
            await written(self._tools, work)
        except _AllRefused:
            return outcomes
        return outcomes

    async def _forget_files(self, commit: Commit, outcome: Exception) -> None:
        """Remove the files of a commit that was refused; of one whose outcome is not known they stay."""
        if not isinstance(outcome, Uncertain):
            await self._tools.files.forget(commit.files.values())


async def _added(batch: Batch, commit: Commit) -> Outcome:
    """Check and stage one commit; its own failure is its own, the engine's is the group's."""
    try:
        await batch.add(commit)
    except PyMongoError:
        raise
    except Exception as refusal:
        if _concerns_all(refusal):
            raise
        return refusal
    return None


def _concerns_all(error: Exception) -> bool:
    """Tell whether the engine did not answer, or not in time: no commit of a group has a better chance."""
    return isinstance(error, Fault) and error.kind is Kind.UNAVAILABLE


def _claims(commit: Commit, tools: Tools) -> Claims:
    claims: set[guards.Guard] = {item.digest for item in commit.prepared}
    claims.update(f"patient {each.patient}" for each in commit.reclasses)
    if commit.conditions:
        claims |= guards.asked(commit.conditions, tools.keys)
        for item in commit.prepared:
            claims |= guards.written(item.change.type, item.digest, item.change.values, tools.keys)
    return frozenset(claims)
