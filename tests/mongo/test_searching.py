"""How MongoDB carries searches out: in how many round trips, by which stages, and when one gives up."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pymongo.errors import ConnectionFailure, DocumentTooLarge, OperationFailure, PyMongoError
from pymongo.monitoring import CommandListener, CommandStartedEvent, register

from fhir_server.faults import Fault, Kind
from fhir_server.search.predicate import (
    EVERYTHING,
    About,
    All,
    AnyOf,
    Chain,
    Has,
    IdIn,
    Near,
    Not,
    Predicate,
    StringContains,
    StringEnds,
    TokenIs,
    Where,
)
from fhir_server.search.query import Query, Sort
from fhir_server.search.visibility import Visibility
from fhir_server.store.api import Expectation, HistoryQuery, Stale
from fhir_server.store.mongo import asking, opened, search
from fhir_server.store.mongo.reading import limited
from fhir_server.store.mongo.tools import Tools
from tests.contract.clinic import COSTLY, code, fill, fill_costly, plan
from tests.contract.store_world import ALL, change, drop_store, extractor, open_mongo, put

KIND = "mongodb-standard"


class Listener(CommandListener):
    """Notes the names of the commands that are sent to one database.

    ``unions``: how many held ``$unionWith``, by whether they were part of a transaction.
    """

    def __init__(self) -> None:
        self.database = ""
        self.sent: list[str] = []
        self.unions: dict[bool, int] = {True: 0, False: 0}

    def started(self, event: CommandStartedEvent) -> None:
        if event.database_name == self.database or event.command_name.endswith("Transaction"):
            self.sent.append(event.command_name)
            self.unions["autocommit" in event.command] += "$unionWith" in str(event.command)

    def succeeded(self, _event: object) -> None:
        pass

    def failed(self, _event: object) -> None:
        pass


LISTENER = Listener()
register(LISTENER)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Any]:
    opened_ = await open_mongo(tmp_path)
    yield opened_
    await opened_.close()
    drop_store(KIND, tmp_path)


@pytest.fixture
async def clinic(store: Any) -> Any:
    await fill(store)
    LISTENER.database = store._tools.engine.db.name
    LISTENER.sent.clear()
    return store


LI = Where("name", StringEnds("li", whole=True))
NAMED_LI = Chain("subject", "Patient", Where("name", StringContains("li")))
TRIPS: dict[str, tuple[Query, list[str]]] = {
    "creation": (Query("Observation"), ["aggregate"]),
    "codes, with a total": (Query("Observation", code("common"), total="accurate"), ["aggregate"]),
    "a total alone": (Query("Observation", code("common"), count=0, total="accurate"), ["aggregate"]),
    "the clinical date": (Query("Observation", sort=(Sort("date", descending=True),)), ["aggregate"]),
    "last updates": (Query("Observation", sort=(Sort("_lastUpdated"),)), ["aggregate"]),
    "ids": (Query("Observation", IdIn(("o1", "o2"))), ["aggregate"]),
    "classes": (Query("Observation", Not(About(frozenset({1})))), ["aggregate"]),
    "a page of all": (Query("Observation", count=200, total="accurate"), ["aggregate"]),
    "nothing": (Query("Observation", IdIn(())), []),
    "a chain": (
        Query("Observation", Chain("subject", "Patient", LI)),
        ["aggregate", "aggregate", "commitTransaction"],
    ),
    "a chain, with a total": (
        Query("Observation", Chain("subject", "Patient", LI), total="accurate"),
        ["aggregate", "aggregate", "aggregate", "commitTransaction"],
    ),
    "a chain to any": (Query("Observation", Chain("subject", "Patient", EVERYTHING)), ["aggregate"]),
    "two chains": (
        Query(
            "Observation",
            AnyOf((Chain("subject", "Patient", LI), Chain("subject", "Observation", code("rare")))),
        ),
        ["aggregate", "aggregate", "commitTransaction"],
    ),
    "a chain of two hops": (
        Query("Observation", Chain("subject", "Patient", Has("Observation", "subject", code("rare")))),
        ["aggregate", "aggregate", "aggregate", "commitTransaction"],
    ),
    "who is referred to": (
        Query("Patient", Has("Observation", "subject", code("rare"))),
        ["aggregate", "aggregate", "commitTransaction"],
    ),
    "opened records": (
        Query("Patient", Where("name", StringContains("i"))),
        ["aggregate", "aggregate", "commitTransaction"],
    ),
    "keys of opened records": (
        Query("Patient", sort=(Sort("name"),)),
        ["aggregate", "aggregate", "commitTransaction"],
    ),
    "a chain to opened records": (
        Query("Observation", NAMED_LI),
        ["aggregate", "aggregate", "aggregate", "aggregate", "commitTransaction"],
    ),
}


async def test_a_search_takes_so_many_round_trips(clinic: Any) -> None:
    taken: dict[str, list[str]] = {}
    for name, (query, _) in TRIPS.items():
        LISTENER.sent.clear()
        await clinic.search(ALL, query)
        taken[name] = LISTENER.sent.copy()

    assert taken == {name: sent for name, (_, sent) in TRIPS.items()}


ONLY_FINAL = Visibility("test", default=Where("status", TokenIs("s", "final")))
ONLY_LINKED = Visibility("test", {"Observation": NAMED_LI}, EVERYTHING)
BY_PATIENT = Visibility("test", {"Observation": Chain("subject", "Patient", code("a"))}, EVERYTHING)


@pytest.mark.parametrize(
    ("visibility", "trips"), [(ALL, 1), (ONLY_FINAL, 1), (ONLY_LINKED, 3), (BY_PATIENT, 1)]
)
async def test_reading_many_takes_one_round_trip_unless_records_are_opened(
    clinic: Any, visibility: Visibility, trips: int
) -> None:
    await clinic.read_many(visibility, [("Observation", f"o{n}") for n in range(20)])

    assert LISTENER.sent == ["aggregate"] * trips + ["commitTransaction"] * (trips > 1)


async def test_a_read_by_id_takes_one_round_trip(clinic: Any) -> None:
    for visibility in (ALL, ONLY_FINAL):
        LISTENER.sent.clear()
        await clinic.read(visibility, "Observation", "o1")

        assert len(LISTENER.sent) == 1


async def test_several_expectations_are_one_aggregate_of_the_commit(clinic: Any) -> None:
    expected = [Expectation("Observation", code(each), ALL, ()) for each in ("none", "neither")]

    await clinic.commit(
        [clinic.prepare(change("Observation", "new", tokens=[["code", "s", "new"]]))], expected
    )
    with_two = LISTENER.sent.count("aggregate")
    LISTENER.sent.clear()
    await clinic.commit([clinic.prepare(change("Observation", "newer"))], expected[:1])

    assert with_two == LISTENER.sent.count("aggregate")
    with pytest.raises(Stale):
        await clinic.commit(
            [clinic.prepare(change("Observation", "newest"))],
            [*expected, Expectation("Observation", code("rare"), ALL, ())],
        )


async def test_no_transaction_holds_a_union_which_mongodb_refuses_there(clinic: Any) -> None:
    """The stand-in would take it. https://www.mongodb.com/docs/manual/reference/operator/aggregation/unionWith/"""
    LISTENER.unions = {True: 0, False: 0}
    for query, _ in TRIPS.values():
        await clinic.search(ALL, replace(query, total="accurate"))
        await clinic.search(ALL, replace(query, sort=(Sort("value"), Sort("name"))))
    keys = [("Observation", "o1"), ("Patient", "p1")]
    for visibility in (ONLY_FINAL, ONLY_LINKED, BY_PATIENT):
        await clinic.read_many(visibility, keys)
        await clinic.history(visibility, HistoryQuery("Observation", "o1"))
        await clinic.history(visibility, HistoryQuery("Observation", count=3))
        await clinic.history(visibility, HistoryQuery(None, count=3))
        await clinic.read_version(visibility, "Observation", "o1", 1)
    expected = [Expectation("Observation", code(each), ALL, ()) for each in ("none", "neither")]
    await clinic.commit([clinic.prepare(change("Observation", "new"))], expected)

    assert LISTENER.unions[False] > 0
    assert LISTENER.unions[True] == 0


async def test_what_too_many_satisfy_is_followed_by_the_engine(
    clinic: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = Chain("subject", "Patient", LI)
    listed = await plan(clinic, chain)
    monkeypatch.setattr(asking, "MOST_LISTED", 4)
    followed = await plan(clinic, chain)

    assert (listed["tests"][0]["by"], listed["stages"], listed["candidates"]) == ("index", [], 5)
    assert (followed["tests"][0]["by"], followed["candidates"]) == ("look-up", 40)
    assert followed["stages"] == ["$set", "$lookup", "$match"]
    assert followed["tests"][0]["inside"]["tests"] == [{"condition": "name", "by": "index"}]


async def test_tells_the_order_and_what_answers_each_condition(clinic: Any) -> None:
    found = await plan(clinic, All((code("rare"), Not(About(frozenset({7}))))), Sort("date", descending=True))

    assert found["tests"] == [
        {"condition": "code", "by": "index"},
        {"condition": "not", "by": "look-up"},
    ]
    assert (found["order"], found["candidates"], found["opened"]) == ("the index of the date", 1, 0)
    assert found["round trips"] == 1
    assert (await plan(clinic, EVERYTHING, Sort("date")))["order"] == "keys of every candidate"
    assert (await plan(clinic, EVERYTHING, Sort("code")))["order"] == "keys of every candidate, opened"
    assert (await plan(clinic, EVERYTHING))["order"] == "creation"


async def test_every_way_of_searching_ends_when_its_time_is_over(store: Any) -> None:
    await fill_costly(store)
    engine, ended = store._tools.engine, []
    for name, query in COSTLY.items():
        before = await store.search(ALL, query)
        engine.search_seconds = 1e-6
        with pytest.raises(Fault) as fault:
            await store.search(ALL, query)
        if fault.value.kind is Kind.TOO_COSTLY:
            ended.append(name)
        engine.search_seconds = 5.0
        assert await store.search(ALL, query) == before

    assert ended == list(COSTLY)


async def test_opening_records_ends_when_the_time_is_over(
    clinic: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(type_: str, body: bytes) -> Any:
        time.sleep(0.02)
        return extractor(type_, body)

    monkeypatch.setattr(opened, "_CHUNK", 10)
    tools: Tools = clinic._tools
    hurried = search.Searcher(_with(tools, extractor=slow))
    tools.engine.search_seconds = 0.3
    began = time.monotonic()

    with pytest.raises(Fault) as fault:
        await hurried.page(ALL, Query("Patient", Where("name", StringContains("none"))))

    assert fault.value.kind is Kind.TOO_COSTLY
    assert time.monotonic() - began < 0.75


def _with(tools: Tools, **changed: Any) -> Tools:
    return Tools(**{name: changed.get(name, getattr(tools, name)) for name in Tools.__slots__})


@pytest.mark.parametrize(
    "where",
    [
        Where("name", StringContains("a")),
        Where("near", Near(0.0, 0.0, 1.0)),
        Chain("subject", "Patient", Where("name", StringContains("a"))),
    ],
)
async def test_more_than_so_many_records_are_not_opened(
    store: Any, monkeypatch: pytest.MonkeyPatch, where: Predicate
) -> None:
    await put(
        store,
        *(
            change(
                "Patient",
                f"p{n}",
                strings=[["name", "Lia"]],
                positions=[["near", 0.0, 0.0]],
                references=[["subject", f"Patient/p{n}"]],
            )
            for n in range(6)
        ),
    )
    monkeypatch.setattr(opened, "MOST_OPENED", 6)
    assert len((await store.search(ALL, Query("Patient", where))).matches) == 6

    monkeypatch.setattr(opened, "MOST_OPENED", 5)
    with pytest.raises(Fault) as fault:
        await store.search(ALL, Query("Patient", where))

    assert fault.value.kind is Kind.TOO_COSTLY
    # Another condition leaves few to open.
    narrowed = All((where, IdIn(("p1", "p2"))))
    assert [each.id for each in (await store.search(ALL, Query("Patient", narrowed))).matches] == ["p1", "p2"]


def nested(depth: int) -> Predicate:
    """Ask what no simplification takes away: NOT of AND of NOT …"""
    where: Predicate = code("common")
    for _ in range(depth):
        where = Not(All((where, Where("status", TokenIs("s", "final")))))
    return where


async def test_conditions_nested_too_deeply_are_refused_and_the_store_lives_on(clinic: Any) -> None:
    assert (await clinic.search(ALL, Query("Observation", nested(15), total="accurate"))).total is not None

    for depth in (80, 600):
        with pytest.raises(Fault) as fault:
            await clinic.search(ALL, Query("Observation", nested(depth)))

        assert fault.value.kind is Kind.TOO_COSTLY
        assert "nested too deeply" in fault.value.diagnostics
    assert len((await clinic.search(ALL, Query("Observation"))).matches) == 20


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (DocumentTooLarge("too large"), Kind.TOO_COSTLY, "too many values"),
        (OperationFailure("too large", 10334), Kind.TOO_COSTLY, "too many values"),
        (OperationFailure("too deep", 15), Kind.TOO_COSTLY, "nested too deeply"),
        (OperationFailure("too long", 50), Kind.TOO_COSTLY, "took too long"),
        (OperationFailure("wrong", 2), Kind.EXCEPTION, "could not"),
        (ConnectionFailure("cut"), Kind.UNAVAILABLE, "does not answer"),
    ],
)
async def test_each_refusal_of_the_engine_is_a_fault_that_says_what_to_do(
    error: PyMongoError, kind: Kind, words: str
) -> None:
    with pytest.raises(Fault) as fault:
        async with limited(5.0):
            raise error

    assert fault.value.kind is kind
    assert words in fault.value.diagnostics


async def test_a_look_up_of_classes_leaves_what_is_stored_as_it_is(store: Any) -> None:
    """The fields that it puts beside a candidate are none of the document's own."""
    await put(store, change("Note", "1", method="PATCH", patients=["a"]))
    view = Visibility("test", default=EVERYTHING, consents={"Note": Not(About(frozenset({1})))})

    [found] = (await store.search(view, Query("Note"))).matches

    assert found == await store.read(ALL, "Note", "1")
    assert (await store.history(view, HistoryQuery("Note"))).versions == [found]
