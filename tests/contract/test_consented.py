"""What conditions on policy classes promise: several patients, new classes, long chains, later writes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fhir_server.faults import Fault, Kind
from fhir_server.search.criteria import MAX_HOPS
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
from fhir_server.store.api import Reclass, Slice
from tests.contract.about_world import House, consents, ids, opened
from tests.contract.store_world import ENGINES, change, put


@pytest.fixture(scope="module", params=ENGINES)
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with opened(request.param, tmp_path_factory.mktemp("about")) as made:
        yield made


SECRET = Where("label", TokenIs("s", "secret"))


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
        known = (await store.stamps()).classes
        closed, open_ = (consents(Fresh=Not(About(frozenset(), above))) for above in (known, None))
        assert await ids(store, closed, "Fresh") == ["old", "new"]

        await store.commit([], (), [Reclass("f-new", 0, (Slice(-99, 99, b"a rule that is new"),))])

        assert (await store.stamps()).classes == known + 1
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
