"""Several stores write the same few resources at once, at random: what was acknowledged is there, once."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from fhir_server.search.predicate import TokenIs, Where
from fhir_server.store.api import Change, Expectation, HistoryQuery, Stale, Stored
from tests.contract.store_world import ALL, a_store, change, open_mongo

TYPES = ("Patient", "Observation")
IDS = tuple(f"p{number}" for number in range(5))
CLIENTS = 12
WRITES = 6


@dataclass
class Client:
    """Reads a resource, writes the next version of it by any store, and notes what was acknowledged."""

    name: str
    random: Random
    stores: list[Any]
    kept: dict[tuple[str, str], dict[int, bytes]]
    stale: int = field(default=0)

    async def run(self) -> None:
        for _ in range(WRITES):
            type_, id_ = self.random.choice(TYPES), self.random.choice(IDS)
            store = self.random.choice(self.stores)
            current = await store.read(ALL, type_, id_)
            changes = [self.following(type_, id_, current)]
            if self.random.random() < 0.3:
                changes.append(change("Group", f"{self.name}-{self.random.random()}"))
            conditions = [self.expected(type_, id_, current)] if self.random.random() < 0.4 else []
            try:
                await store.commit([store.prepare(each) for each in changes], conditions)
            except Stale:
                self.stale += 1
            else:
                for each in changes:
                    versions = self.kept[each.type, each.id]
                    assert each.version not in versions, "one version was acknowledged twice"
                    versions[each.version] = each.body

    def following(self, type_: str, id_: str, current: Stored | None) -> Change:
        version = current.version + 1 if current else 1
        if current and not current.deleted and self.random.random() < 0.2:
            return change(type_, id_, version, "DELETE")
        return change(
            type_,
            id_,
            version,
            text=f"{self.name} {version}",
            patients=[self.random.choice(IDS)],
            tokens=[["identifier", "s", id_]],
            references=[["subject", f"Patient/{self.random.choice(IDS)}"]],
        )

    def expected(self, type_: str, id_: str, current: Stored | None) -> Expectation:
        found = (id_,) if current and not current.deleted else ()
        return Expectation(type_, Where("identifier", TokenIs("s", id_)), ALL, found)


async def test_what_was_acknowledged_is_there_and_nothing_else(tmp_path: Path) -> None:
    kept: dict[tuple[str, str], dict[int, bytes]] = defaultdict(dict)
    async with a_store("mongodb-standard", tmp_path) as store:
        others = [await open_mongo(tmp_path) for _ in range(2)]
        clients = [Client(f"c{number}", Random(number), [store, *others], kept) for number in range(CLIENTS)]

        await asyncio.gather(*(client.run() for client in clients))

        assert sum(client.stale for client in clients), "nobody was in anybody's way"
        for (type_, id_), versions in kept.items():
            history = await others[0].history(ALL, HistoryQuery(type_, id_, count=1000))
            assert [each.version for each in history.versions] == sorted(versions, reverse=True)
            assert [each.version for each in reversed(history.versions)] == list(range(1, history.total + 1))
            assert {each.version: each.body for each in history.versions} == versions
        for other in others:
            await other.close()
