"""Numbers of resources and versions: each once, greater than all before it, in the order of time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fhir_server.store.mongo.numbers import Numbers

START = 1_767_225_600_000


class Meta:
    """Counts up as ``meta`` does."""

    def __init__(self) -> None:
        self.count = 0

    async def find_one_and_update(self, *_: Any, **__: Any) -> dict[str, int]:
        self.count += 1
        return {"count": self.count}


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


async def process(meta: Meta, clock: Clock) -> Numbers:
    numbers: Any = Numbers(SimpleNamespace(get_collection=lambda _: meta), clock)  # type: ignore[arg-type]
    await numbers.ready()
    return numbers  # type: ignore[no-any-return]


@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(0, 600)), max_size=8))
async def test_grow_whatever_the_clock_does(steps: list[tuple[int, int]]) -> None:
    clock = Clock()
    numbers = await process(Meta(), clock)
    made = []
    for passed, wanted in steps:
        clock.now += passed
        made += [numbers.next() for _ in range(wanted)]

    assert made == sorted(set(made))


@given(st.integers(-10_000, 10_000), st.integers(1, 300))
async def test_a_version_has_a_greater_number_than_the_one_before_it(behind: int, others: int) -> None:
    """Also where the other process's clock goes before."""
    meta, clock, other_clock = Meta(), Clock(), Clock()
    numbers, other = await process(meta, clock), await process(meta, other_clock)
    other_clock.now += behind
    before = [other.next() for _ in range(others)][-1]

    assert numbers.next(after=before) > before


async def test_processes_never_have_the_same_one() -> None:
    meta, clock = Meta(), Clock()
    processes = [await process(meta, clock) for _ in range(4)]

    made = [numbers.next(after=0) for _ in range(400) for numbers in processes]

    assert len(set(made)) == len(made)


async def test_are_in_the_order_of_time_between_processes() -> None:
    meta, clock = Meta(), Clock()
    one, two = await process(meta, clock), await process(meta, clock)
    made = []
    for numbers in (two, one, two, two, one):
        clock.now += 1
        made.append(numbers.next())

    assert made == sorted(made)


async def test_fit_into_63_bits_for_another_forty_years() -> None:
    clock = Clock()
    clock.now += 40 * 365 * 86_400_000
    meta = Meta()
    meta.count = (1 << 14) - 2
    numbers = await process(meta, clock)

    assert 0 < numbers.next() < 2**63


async def test_a_process_asks_for_its_bits_once() -> None:
    meta = Meta()
    numbers = await process(meta, Clock())
    await numbers.ready()

    assert meta.count == 1
