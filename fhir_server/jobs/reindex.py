"""Reindex: take the stored SearchParameters as the ones to index, and bring the index after them.

In this order, so that nothing is missed and nothing is found by half an index: the new set is written down
(from then on every write extracts by it), rows of what is gone or changed are dropped, the rows that current
resources lack are added, and only then the new parameters can be searched by.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from fhir_server.faults import Fault, Kind
from fhir_server.interactions.known import Known
from fhir_server.jobs.runner import Task
from fhir_server.resources.codec import decode
from fhir_server.search import custom
from fhir_server.search.parameters import Custom
from fhir_server.search.visibility import Visibility
from fhir_server.store.api import Stale, Store

KIND = "reindex"

_SYSTEM = Visibility.everything("reindex")
_ATTEMPTS = 20

Place = tuple[str, str]
"""A type and the code of one of its parameters."""


class Reindex:
    """The work of the jobs of kind ``reindex``. Parameters: ``types``, [] for all.

    Progress: ``drop`` places to clear, ``types`` left to go through, ``after`` where the first of them is,
    ``looked`` and ``total`` resources, ``added`` rows.
    """

    def __init__(self, store: Store, known: Known) -> None:
        self._store = store
        self._known = known

    async def __call__(self, task: Task) -> str:
        """Carry the job out, from where its progress says."""
        if "types" not in task.progress:
            await self._define(task)
        await self._drop(task)
        await self._rebuild(task)
        active = await self._activate()
        done = f"{task.progress['looked']} resources were looked at, {task.progress['added']} rows added."
        return f"{done} Custom parameters: {', '.join(active)}." if active else done

    async def _define(self, task: Task) -> None:
        """Write the new set down, the places to clear before it: a crash in between clears them again."""
        wanted = await self._wanted()
        for _ in range(_ATTEMPTS):
            generation, text = await self._store.parameters.read()
            before = custom.read(text)
            after = following(before, wanted)
            cleared = {tuple(each) for each in task.progress.get("drop", ())} | set(outdated(before, after))
            task.progress["drop"] = sorted(cleared)
            await task.save(at_once=True)
            try:
                if after != before:
                    await self._store.parameters.write(custom.write(after), generation)
            except Stale:
                continue
            break
        await self._known.refresh()
        counts = (await self._store.facts()).resources
        asked = set(task.parameters.get("types", ())) or set(counts)
        building = {type_ for each in after if not each.is_active for type_ in each.base}
        task.progress["types"] = sorted((asked | building) & counts.keys())
        task.progress["total"] = sum(counts[type_] for type_ in task.progress["types"])
        task.progress.update(looked=0, added=0, after=0)
        await task.save(at_once=True)

    async def _wanted(self) -> list[Custom]:
        """Return the custom parameters that the stored SearchParameters define, by URL."""
        found: dict[str, Custom] = {}
        places: dict[Place, str] = {}
        async for stored in self._store.scan(_SYSTEM, "SearchParameter"):
            each = custom.compiled(decode(stored.body))
            if each is None:
                continue
            for type_ in each.base:
                place = (type_, each.parameter.code)
                if places.setdefault(place, each.parameter.url) != each.parameter.url:
                    raise Fault(
                        Kind.CONFLICT,
                        f"Two SearchParameters define {place[1]} of {type_}; retire or delete one of them.",
                    )
            if found.setdefault(each.parameter.url, each) != each:
                raise Fault(
                    Kind.CONFLICT, "Two active SearchParameters have one url; retire or delete one of them."
                )
        return [found[url] for url in sorted(found)]

    async def _drop(self, task: Task) -> None:
        while task.progress["drop"]:
            type_, code = task.progress["drop"][0]
            while await self._store.parameters.drop(type_, code):
                await task.save()
            del task.progress["drop"][0]
            await task.save(at_once=True)

    async def _rebuild(self, task: Task) -> None:
        progress = task.progress
        while progress["types"]:
            after = progress["after"]
            while after is not None:
                try:
                    step = await self._store.parameters.rebuild(progress["types"][0], after)
                except Stale:
                    await self._known.refresh()
                    continue
                after = step.next
                progress["looked"] += step.resources
                progress["added"] += step.rows
                if after is not None:
                    progress["after"] = after
                    await task.save()
            del progress["types"][0]
            progress["after"] = 0
            await task.save(at_once=True)

    async def _activate(self) -> list[str]:
        """Let the parameters be searched by, in every process; return their names."""
        for _ in range(_ATTEMPTS):
            generation, text = await self._store.parameters.read()
            before = custom.read(text)
            after = tuple(replace(each, is_active=True) for each in before)
            try:
                if after != before:
                    await self._store.parameters.write(custom.write(after), generation)
            except Stale:
                continue
            break
        await self._known.refresh()
        return [f"{each.parameter.code} of {' and '.join(each.base)}" for each in after]


def following(before: Sequence[Custom], wanted: Iterable[Custom]) -> tuple[Custom, ...]:
    """Return the set to follow: what is unchanged keeps its state, the rest is yet to be built."""
    known = {(each.parameter, each.base): each for each in before}
    return tuple(known.get((each.parameter, each.base), each) for each in wanted)


def outdated(before: Iterable[Custom], after: Sequence[Custom]) -> list[Place]:
    """Return the places whose index rows no longer say what their parameter means."""
    kept = {(each.parameter, type_) for each in after for type_ in each.base}
    return [
        (type_, each.parameter.code)
        for each in before
        for type_ in each.base
        if (each.parameter, type_) not in kept
    ]
