"""Conditions on policy classes: what the store finds is what ``search/match.py`` says, at every instant."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count, pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.faults import Fault, Kind
from fhir_server.search.criteria import MAX_HOPS
from fhir_server.search.match import Catalog
from fhir_server.search.predicate import (
    EVERYTHING,
    About,
    All,
    AnyOf,
    Chain,
    DateIs,
    Not,
    Predicate,
    TokenIs,
    Where,
)
from fhir_server.search.query import Query
from fhir_server.search.visibility import Visibility
from fhir_server.store.api import HistoryQuery, Reclass, Slice
from tests.contract.random_world import Raw, World
from tests.contract.store_world import ALL, change, open_sqlite, put, values_of
from tests.contract.test_agreement import hurry, walk

NUMBERED = count()
SEEDS = st.integers(0, 2**48)
QUICKLY = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
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


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with asyncio.Runner() as runner:
        made = House(runner, None)

        async def make() -> Any:
            return open_sqlite(tmp_path_factory.mktemp("about"), clock=made.clock)

        made.store = runner.run(make())
        yield made
        assert runner.run(made.store.check()) == []
        runner.run(made.store.close())


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

    def consent(self) -> Predicate:
        """Ask as consents do: what some classes forbid, wholly or where something is the case."""
        branches = [All((self.about(), self.predicate(1))) for _ in range(self.random.randint(0, 3))]
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


@pytest.mark.parametrize("large", [False, True], ids=["as-if-small", "as-if-large"])
@QUICKLY
@given(seed=SEEDS)
def test_finds_what_the_plain_words_say_of_classes_at_any_instant(
    house: House, large: bool, seed: int
) -> None:
    made = Classed(seed, next(NUMBERED))
    raw = made.resources()

    async def make() -> dict[str, tuple[Slice, ...]]:
        await house.store.commit([house.store.prepare(change(*key, **each)) for key, each in raw.items()])
        return await settle(house, made)

    standing = house.runner.run(make())
    with pytest.MonkeyPatch.context() as patch:
        if large:
            hurry(patch)
        for number in range(15):
            house.now = made.random.choice(INSTANTS)
            catalog = Catalog(
                ((*key, values_of(each)) for key, each in raw.items()), made.class_of(standing, house.now)
            )
            visibility = ALL
            if number % 3:
                consents = {type_: made.consent() for type_ in made.types}
                visibility = Visibility("test", default=EVERYTHING, consents=consents)
            query = Query(made.types[0], made.predicate(2), made.sorts(), 1 + number % 4, total="accurate")
            whole = catalog.search(visibility, replace(query, count=1000))
            expected = list(whole.ids)

            found = house.runner.run(walk(house.store, visibility, query))
            assert found == (expected, whole.total, expected), (query, visibility, house.now)


@QUICKLY
@given(seed=SEEDS)
def test_every_way_of_reading_agrees_with_the_search(house: House, seed: int) -> None:
    made = Classed(seed, next(NUMBERED))
    raw = made.resources()
    store, type_ = house.store, made.types[0]
    keys = [key for key in raw if key[0] == type_]

    async def make() -> dict[str, tuple[Slice, ...]]:
        await store.commit([store.prepare(change(*key, **each)) for key, each in raw.items()])
        return await settle(house, made)

    standing = house.runner.run(make())
    house.now = made.random.choice(INSTANTS)
    catalog = Catalog(
        ((*key, values_of(each)) for key, each in raw.items()), made.class_of(standing, house.now)
    )
    visibility = Visibility(
        "test", default=EVERYTHING, consents={each: made.consent() for each in made.types}
    )
    seen = set(catalog.matching(visibility, type_, EVERYTHING))

    async def read() -> list[set[str]]:
        many = await store.read_many(visibility, keys)
        history = await store.history(visibility, HistoryQuery(type_, count=1000))
        versions = [await store.read_version(visibility, *key, 1) for key in keys]
        # Twice, the second time by what was compiled for the first.
        single = [[await store.read(visibility, *key) for key in keys] for _ in range(2)]
        assert history.total == len(history.versions)
        ways = [
            many,
            history.versions,
            versions,
            *single,
            [each async for each in store.scan(visibility, type_)],
        ]
        return [{stored.id for stored in way if stored is not None} for way in ways]

    assert house.runner.run(read()) == [seen] * 6

    async def delete() -> list[set[str]]:
        """Whoever saw a resource sees that it was deleted, and nobody else."""
        await put(store, *(change(*key, 2, "DELETE") for key in keys))
        found = [await store.read(visibility, *key) for key in keys]
        assert all(stored is None or stored.deleted for stored in found)
        history = await store.history(visibility, HistoryQuery(type_, count=1000))
        return [{each.id for each in found if each}, {each.id for each in history.versions if each.deleted}]

    assert house.runner.run(delete()) == [seen] * 2


SECRET = Where("label", TokenIs("s", "secret"))


async def ids(store: Any, visibility: Visibility, type_: str = "Note") -> list[str]:
    page = await store.search(visibility, Query(type_, count=100, total="accurate"))
    assert page.total == len(page.matches)
    return [match.id for match in page.matches]


def consents(**by_type: Predicate) -> Visibility:
    return Visibility("test", default=EVERYTHING, consents=by_type)


def test_several_patients_must_all_permit_and_nobody_need_not(house: House) -> None:
    async def run() -> None:
        store = house.store
        house.now = 5
        for name, about in {
            "none": [],
            "a": ["m-a"],
            "b": ["m-b"],
            "both": ["m-a", "m-b"],
            "c": ["m-c"],
        }.items():
            await put(store, change("Note", name, patients=about))
        denies = Reclass("m-b", 0, (Slice(0, 10, b"no"),))
        await store.commit([], (), [Reclass("m-a", 0, (Slice(0, 10, b"yes"),)), denies])
        classes = await store.policies.classes(["m-a", "m-b", "m-c"])

        assert await ids(store, consents(Note=Not(About(frozenset({classes["m-b"]}))))) == ["none", "a", "c"]
        assert await ids(store, consents(Note=Not(About(frozenset({0}))))) == ["none", "a", "b", "both"]
        assert await ids(store, consents(Note=About(frozenset({classes["m-a"]})))) == ["a", "both"]
        assert classes["m-c"] == 0

    house.runner.run(run())


def test_a_class_that_was_not_there_when_it_was_decided_can_be_refused(house: House) -> None:
    async def run() -> None:
        store = house.store
        await put(
            store, change("Fresh", "old", patients=["f-old"]), change("Fresh", "new", patients=["f-new"])
        )
        known = store.stamps().classes
        closed, open_ = (consents(Fresh=Not(About(frozenset(), above))) for above in (known, None))
        assert await ids(store, closed, "Fresh") == ["old", "new"]

        await store.commit([], (), [Reclass("f-new", 0, (Slice(-99, 99, b"a rule that is new"),))])

        assert store.stamps().classes == known + 1
        assert await ids(store, closed, "Fresh") == ["old"]
        assert await ids(store, open_, "Fresh") == ["old", "new"]

    house.runner.run(run())


def test_a_type_that_consents_do_not_name_is_not_seen(house: House) -> None:
    async def run() -> None:
        await put(house.store, change("Unnamed", "1"))

        assert await ids(house.store, consents(Other=EVERYTHING), "Unnamed") == []
        assert await house.store.read(consents(Other=EVERYTHING), "Unnamed", "1") is None
        assert await ids(house.store, consents(Unnamed=EVERYTHING), "Unnamed") == ["1"]

    house.runner.run(run())


def test_who_it_is_about_changes_with_the_resource(house: House) -> None:
    async def run() -> None:
        store, now_denied = house.store, []
        await store.commit([], (), [Reclass("w-no", 0, (Slice(-99, 99, b"w"),))])
        number = (await store.policies.classes(["w-no"]))["w-no"]
        view = consents(Moved=Not(About(frozenset({number}))))
        for version, about in enumerate((["w-yes"], ["w-no"], [], ["w-yes", "w-no"], ["w-yes", "w-x"]), 1):
            await put(store, change("Moved", "1", version, patients=about))
            now_denied.append(await ids(store, view, "Moved") == [])

        assert now_denied == [False, True, False, True, False]
        # Each old version is judged by the patients that it names.
        versions = [await store.read_version(view, "Moved", "1", version) is None for version in range(1, 6)]
        assert versions == now_denied

    house.runner.run(run())


@QUICKLY
@given(seed=SEEDS)
def test_pages_hold_to_what_was_filed_meanwhile_and_skip_nothing_else(house: House, seed: int) -> None:
    """While somebody walks the pages, patients withdraw and permit again."""
    number, random = next(NUMBERED), Random(seed)
    type_, store = f"P{number}", house.store
    patients = [f"{type_}-{each}" for each in range(4)]
    house.now = 0

    async def run() -> None:
        about = {f"r{each}": random.choices(patients, k=random.choice((1, 1, 2))) for each in range(14)}
        await put(
            store, *(change(type_, id_, patients=list(dict.fromkeys(some))) for id_, some in about.items())
        )
        denied, versions = set[str](), dict.fromkeys(patients, 0)
        (no,) = [await denying(store, f"{type_}-somebody")]
        view = consents(**{type_: Not(About(frozenset({no})))})
        moved = set[str]()
        page = await store.search(view, Query(type_, count=2, total="accurate"))
        met = [match.id for match in page.matches]
        while page.next is not None:
            patient = random.choice(patients[:2])
            denied ^= {patient}
            moved.add(patient)
            slices = (Slice(-9, 9, b"denied"),) if patient in denied else ()
            await store.commit([], (), [Reclass(patient, versions[patient], slices)])
            versions[patient] += 1
            page = await store.search(view, Query(type_, count=2, after=page.next, total="accurate"))
            assert not any(denied.intersection(about[match.id]) for match in page.matches)
            assert page.total == sum(denied.isdisjoint(some) for some in about.values())
            met += [match.id for match in page.matches]

        assert len(set(met)) == len(met)
        assert {id_ for id_, some in about.items() if moved.isdisjoint(some)} <= set(met)

    house.runner.run(run())


async def denying(store: Any, patient: str) -> int:
    """Return the number of the rule "denied"."""
    await store.commit([], (), [Reclass(patient, 0, (Slice(-9, 9, b"denied"),))])
    return int((await store.policies.classes([patient]))[patient])


RIGHT = AnyOf((Where("organization", TokenIs("s", "o")), Chain("subject", "Deep", SECRET)))
FORBIDDEN = All((SECRET, Not(AnyOf((RIGHT, SECRET)))))
CONSENTED = Not(AnyOf((All((About(frozenset({1})), FORBIDDEN)), About(frozenset({2}), 9))))


def nested(hops: int) -> Predicate:
    return SECRET if hops == 0 else All((SECRET, Chain("subject", "Deep", nested(hops - 1))))


def test_long_chains_under_rights_and_consents_are_answered_and_longer_ones_refused(house: House) -> None:
    async def run() -> None:
        secret = {"tokens": [["label", "s", "secret"]], "patients": ["deep"]}
        await put(house.store, change("Deep", "1", **secret, references=[["subject", "Deep/1"]]))
        view = Visibility("test", {"Deep": RIGHT}, consents={"Deep": CONSENTED})

        found = await house.store.search(view, Query("Deep", nested(MAX_HOPS - 1), total="accurate"))
        assert (found.total, [match.id for match in found.matches]) == (1, ["1"])

        with pytest.raises(Fault) as fault:
            await house.store.search(view, Query("Deep", nested(3 * MAX_HOPS)))
        assert fault.value.kind is Kind.TOO_COSTLY

    house.runner.run(run())


def test_what_was_compiled_for_one_search_holds_for_what_is_stored_later(house: House) -> None:
    """A parameter's first value, and a second date where there was one, change nothing that consents say."""
    early, late = DateIs("ge", 10, 10), DateIs("le", 5, 5)
    both = All((Where("when", early), Where("when", late)))
    view = consents(
        Later=Not(AnyOf((All((About(frozenset({0})), SECRET)), All((About(frozenset({0})), both)))))
    )

    async def run() -> None:
        store, now = house.store, []
        await put(store, change("Later", "plain", patients=["l"]), change("Later", "nobody"))
        now.append(await ids(store, view, "Later"))
        await put(store, change("Later", "one", patients=["l"], dates=[["when", 7, 7]]))
        now.append(await ids(store, view, "Later"))
        spans = [["when", 1, 1], ["when", 20, 20]]
        await put(store, change("Later", "two", patients=["l"], dates=spans))
        await put(store, change("Later", "secret", patients=["l"], tokens=[["label", "s", "secret"]]))
        await put(store, change("Later", "open", tokens=[["label", "s", "secret"]], dates=spans))
        now.append(await ids(store, view, "Later"))
        read = [await store.read(view, "Later", id_) is not None for id_ in ("two", "secret", "open")]

        assert now == [["plain", "nobody"], ["plain", "nobody", "one"], ["plain", "nobody", "one", "open"]]
        assert read == [False, False, True]

    house.runner.run(run())


def test_one_search_is_not_answered_by_what_was_compiled_for_another(house: House) -> None:
    """The same condition on two types is two conditions: parameters are numbered by type."""
    shared = Not(AnyOf((All((About(frozenset({0})), SECRET)), About(frozenset({7}), 99))))
    view = consents(This=shared, That=shared)

    async def run() -> None:
        for type_ in ("This", "That"):
            secret = [["label", "s", "secret"]]
            await put(house.store, change(type_, "1", patients=["t"], tokens=[["code", "s", type_], *secret]))
            await put(house.store, change(type_, "2", patients=["t"], references=[["to", "This/1"]]))
            await put(house.store, change(type_, "3", patients=["t"], references=[["to", "This/2"]]))

        for _ in range(2):
            assert [await ids(house.store, view, type_) for type_ in ("This", "That")] == [["2", "3"]] * 2
            for type_ in ("This", "That"):
                page = await house.store.search(view, Query(type_, Chain("to", "This", EVERYTHING)))
                assert [match.id for match in page.matches] == ["3"]

    house.runner.run(run())


def test_hundreds_of_branches_do_not_outgrow_the_engine(house: House) -> None:
    async def run() -> None:
        store = house.store
        house.now = 0
        patients = [f"h-{number}" for number in range(300)]
        rules = [Reclass(each, 0, (Slice(-9, 9, each.encode()),)) for each in patients]
        await store.commit(
            [store.prepare(change("Many", each, patients=[each])) for each in patients], (), rules
        )
        classes = await store.policies.classes(patients)
        branches = [All((About(frozenset({classes[each]})), SECRET)) for each in patients[:299]]
        where = AnyOf((*branches, About(frozenset({classes[patients[299]]}))))

        assert await ids(store, consents(Many=where), "Many") == ["h-299"]
        page = await store.search(consents(Many=Not(where)), Query("Many", count=0, total="accurate"))
        assert page.total == 299

    house.runner.run(run())
