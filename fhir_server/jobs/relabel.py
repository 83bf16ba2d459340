"""Relabel: give stored resources the labels that the rules ask for now; after the rules, or an age, changed.

What has them already is left alone; the rest gets a new version, written through the one door and audited.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fhir_server.access.actor import Actor
from fhir_server.faults import Fault, Kind
from fhir_server.interactions.labelling import Labelling, merged, with_security
from fhir_server.interactions.request import Reply, Request
from fhir_server.jobs.runner import Task
from fhir_server.resources.codec import decode
from fhir_server.search.extract import Extractor
from fhir_server.search.predicate import EVERYTHING
from fhir_server.search.query import Position, Query
from fhir_server.search.visibility import Visibility
from fhir_server.store.api import Store, Stored

KIND = "relabel"

_SYSTEM = Visibility.everything("relabel")
_SERVER = Actor.internal("relabel")
_STEP = 200

Run = Callable[[Request], Awaitable[Reply]]


class Relabel:
    """The work of the jobs of kind ``relabel``. Parameters: ``types``, [] for all.

    Progress: ``types`` left to go through, ``after`` where the first of them is, ``looked`` and ``total``
    resources, ``changed`` and ``refused`` ones. Contents come before what may contain them. A container may
    be contained too, to any depth: ``containers`` are gone through again for as long as one was changed that
    others may contain (``again``).
    """

    def __init__(self, store: Store, labelling: Labelling, extractor: Extractor, run: Run) -> None:
        self._store = store
        self._labelling = labelling
        self._extractor = extractor
        self._run = run

    async def __call__(self, task: Task) -> str:
        """Carry the job out, from where its progress says."""
        progress = task.progress
        if "types" not in progress:
            counts = (await self._store.facts()).resources
            types = sorted(set(task.parameters.get("types", ())) & counts.keys() or counts)
            types.sort(key=lambda name: name in self._labelling.rules.containers)
            containers = [name for name in types if name in self._labelling.rules.containers]
            progress.update(types=types, containers=containers, again=False, after=None)
            progress.update(looked=0, total=sum(counts[name] for name in types), changed=0, refused=0)
            await task.save(at_once=True)
        while progress["types"]:
            while await self._step(progress):
                await task.save()
            del progress["types"][0]
            progress["after"] = None
            if not progress["types"] and progress["again"]:
                counts = (await self._store.facts()).resources
                progress.update(types=list(progress["containers"]), again=False)
                progress["total"] += sum(counts.get(name, 0) for name in progress["types"])
            await task.save(at_once=True)
        done = f"{progress['looked']} resources were looked at, {progress['changed']} labelled anew."
        left = f" {progress['refused']} could not be: $validate says what breaks the rules of R4 in them."
        return done + (left if progress["refused"] else "")

    async def _step(self, progress: dict[str, Any]) -> bool:
        """Go through some resources; False when they were the type's last."""
        after = None if progress["after"] is None else Position((), progress["after"])
        query = Query(progress["types"][0], EVERYTHING, count=_STEP, after=after)
        page = await self._store.search(_SYSTEM, query)
        for stored in page.matches:
            progress["looked"] += 1
            outcome = await self._relabelled(stored)
            if outcome is not None:
                progress[outcome] += 1
            rules = self._labelling.rules
            if outcome == "changed" and stored.type in rules.containers and stored.type in rules.contents:
                progress["again"] = True
        if page.next is not None:
            progress["after"] = page.next.tie
        return page.next is not None

    async def _relabelled(self, stored: Stored) -> str | None:
        """Write a resource with the labels that it lacks; None when it lacks none."""
        tree = decode(stored.body)
        values = self._extractor.extract(tree)
        made = await self._labelling.labels(tree, stored.body, values, {})
        security = merged(tree, tree, made, may_relabel=True)
        if security == tree["meta"].get("security", []):
            return None
        request = Request(
            "update",
            stored.type,
            stored.id,
            method="PUT",
            body=with_security(tree, security),
            if_match=str(stored.version),
            actor=_SERVER,
        )
        try:
            await self._run(request)
        except Fault as fault:
            if fault.kind is Kind.UNAVAILABLE:
                raise
            # Somebody wrote, and so labelled, it meanwhile; or it was stored under other rules of R4.
            return None if fault.kind in (Kind.VERSION_MISMATCH, Kind.GONE) else "refused"
        return "changed"
