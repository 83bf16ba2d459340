"""Stores with policy classes and a clock that tests move, and random worlds that ask about them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

from fhir_server.search.predicate import EVERYTHING, About, All, AnyOf, Not, Predicate
from fhir_server.search.query import Query
from fhir_server.search.visibility import Visibility
from fhir_server.store.api import Reclass, Slice
from tests.contract.random_world import Raw, World
from tests.contract.store_world import drop_store, open_store

RULES = tuple(f"rule {number}".encode() for number in range(6))
INSTANTS = range(-1, 12)


@dataclass
class House:
    """One store, its loop and its clock, for all examples."""

    runner: asyncio.Runner
    store: Any
    now: int = 0

    def clock(self) -> int:
        return self.now


@contextmanager
def opened(engine: str, folder: Path) -> Iterator[House]:
    """Open a store whose clock stands still until a test moves it; it must be sound when it is closed."""
    with asyncio.Runner() as runner:
        made = House(runner, None)
        made.store = runner.run(open_store(engine, folder, clock=made.clock))
        yield made
        assert runner.run(made.store.check()) == []
        runner.run(made.store.close())
    drop_store(engine, folder, large=True)


class Classed(World):
    """A world whose resources are about patients, and whose questions ask which classes those are in."""

    def __init__(self, seed: int, number: int) -> None:
        super().__init__(seed, (f"A{number}", f"B{number}"))
        self.types = (f"A{number}", f"B{number}")
        self.random = Random(seed)
        self.patients = tuple(f"{number}-{each}" for each in range(5))
        self.numbers: dict[bytes, int] = {}

    def resources(self) -> dict[tuple[str, str], Raw]:
        made = super().resources()
        for raw in made.values():
            some = self.random.choice((0, 1, 1, 1, 2, 3))
            raw["patients"] = self.random.sample(self.patients, some)
        return made

    def leaf(self) -> Predicate:
        return self.about() if self.random.random() < 0.5 else super().leaf()

    def about(self) -> Predicate:
        some = frozenset(self.random.sample([0, *self.numbers.values()], self.random.randint(0, 4)))
        above = self.random.choice((None, None, None, max(self.numbers.values()), -1, 2))
        return About(some, above)

    def consent(self, depth: int = 1) -> Predicate:
        """Ask as consents do: what some classes forbid, wholly or where something is the case."""
        branches = [All((self.about(), self.predicate(depth))) for _ in range(self.random.randint(0, 3))]
        return Not(AnyOf((*branches, self.about())))

    def slices(self) -> tuple[Slice, ...]:
        cuts = sorted(self.random.sample(INSTANTS, self.random.randint(0, 4)))
        spans = [each for each in pairwise(cuts) if self.random.random() < 0.8]
        return tuple(Slice(start, end, self.random.choice(RULES)) for start, end in spans)

    def standing(self) -> dict[str, tuple[Slice, ...]]:
        return {patient: self.slices() for patient in self.patients if self.random.random() < 0.8}

    def class_of(self, standing: Mapping[str, tuple[Slice, ...]], now: int) -> Callable[[str], int]:
        def found(patient: str) -> int:
            rules = [each.rule for each in standing.get(patient, ()) if each.start <= now < each.end]
            return self.numbers[rules[0]] if rules else 0

        return found


async def settle(house: House, made: Classed) -> dict[str, tuple[Slice, ...]]:
    """Put the patients of a world under random rules, and note the numbers that these have."""
    everybody = Reclass(
        f"{made.types[0]}-all", 0, tuple(Slice(n, n + 1, rule) for n, rule in enumerate(RULES))
    )
    standing = made.standing()
    await house.store.commit(
        [], (), [everybody, *(Reclass(patient, 0, slices) for patient, slices in standing.items())]
    )
    made.numbers = {rule: number for number, rule in await house.store.policies.rules()}
    return standing


async def ids(store: Any, visibility: Visibility, type_: str = "Note") -> list[str]:
    page = await store.search(visibility, Query(type_, count=100, total="accurate"))
    assert page.total == len(page.matches)
    return [match.id for match in page.matches]


def consents(**by_type: Predicate) -> Visibility:
    return Visibility("test", default=EVERYTHING, consents=by_type)
