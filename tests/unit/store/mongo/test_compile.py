"""What predicates compile to, as data: filters that are always true or false, and look-ups made once."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.crypto.blind import BlindIndex
from fhir_server.crypto.keys import KeyRing
from fhir_server.faults import Fault, Kind
from fhir_server.search.predicate import (
    EVERYTHING,
    NOTHING,
    About,
    All,
    AnyOf,
    Chain,
    Contains,
    DateIs,
    Has,
    IdIn,
    Not,
    Predicate,
    ReferenceIs,
    StringContains,
    StringEnds,
    StringStarts,
    Together,
    TokenIn,
    TokenIs,
    Where,
)
from fhir_server.store.mongo.compile import Compiler, Plan, matching
from fhir_server.store.mongo.filters import FALSE
from fhir_server.store.mongo.keys import Keys, parameter
from fhir_server.store.mongo.question import MOST_HOPS, Question

NOW = 5


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    ring = KeyRing.create(tmp_path_factory.mktemp("keys") / "keys", "standard")
    return Keys(BlindIndex(ring.suite.digest(ring.index_key)))


def plan(keys: Keys, where: Predicate, **found: Any) -> Plan:
    """Compile; ``found``: what was answered of the one test or link of ``where``."""
    asked = Question.of("Observation", where, keys)
    if "digests" in found:
        [id_] = asked.links or asked.to_open
        asked.found[id_] = found["digests"]
    return Compiler(keys, NOW).plan(asked)


CODE = Where("code", TokenIs("s", "a"))
OTHER = Where("code", TokenIs("s", "b"))
DENIED = About(frozenset({2}))
TO_PATIENT = Chain("subject", "Patient", Where("name", StringStarts("li")))


def code(keys: Keys, text: str) -> Any:
    return keys.token(parameter("Observation", "code"), "s", text)


def test_plain_conditions_are_one_filter_and_nothing_else(keys: Keys) -> None:
    made = plan(keys, All((CODE, Not(OTHER))))

    live = {"t": "Observation", "l": 1}
    assert made.pre == {**live, "$and": [{"k": code(keys, "a")}, {"$nor": [{"k": code(keys, "b")}]}]}
    assert made.stages == ()
    assert plan(keys, EVERYTHING).pre == live


def test_what_nothing_satisfies_needs_no_engine(keys: Keys) -> None:
    impossible = (
        NOTHING,
        All((CODE, NOTHING)),
        IdIn(()),
        Where("subject", ReferenceIs(())),
        Where("code", TokenIn(frozenset())),
        All((CODE, AnyOf(()))),
        Not(Not(NOTHING)),
        Chain("subject", "Patient", NOTHING),
        All((Not(AnyOf((EVERYTHING, CODE))), DENIED)),
        About(frozenset()),
    )

    assert [plan(keys, where).is_empty for where in impossible] == [True] * len(impossible)
    assert not plan(keys, Not(NOTHING)).is_empty
    assert plan(keys, Not(NOTHING)).pre == plan(keys, EVERYTHING).pre


def test_alternatives_of_keys_are_one_list(keys: Keys) -> None:
    assert plan(keys, AnyOf((CODE, OTHER))).pre["k"] == {"$in": [code(keys, "a"), code(keys, "b")]}
    listed = plan(keys, AnyOf((IdIn(("1",)), IdIn(("2", "1"))))).pre["_id"]["$in"]
    assert listed == [keys.blind.target(f"Observation/{id_}") for id_ in "12"]


def test_a_long_list_means_what_a_short_one_means(keys: Keys) -> None:
    codes = tuple(Where("code", TokenIs("s", f"c{n}")) for n in range(40))
    together = plan(keys, AnyOf((AnyOf(codes[:10]), *codes[10:20], AnyOf(codes[20:]))))

    assert sorted(plan(keys, AnyOf(codes)).pre["k"]["$in"]) == sorted(together.pre["k"]["$in"])
    assert plan(keys, Not(AnyOf(codes))).pre["$nor"] == [{"k": plan(keys, AnyOf(codes)).pre["k"]}]
    # Of another type the same list is another one.
    other = Compiler(keys, NOW).plan(Question.of("Condition", AnyOf(codes), keys))
    assert not set(other.pre["k"]["$in"]) & set(together.pre["k"]["$in"])


def test_a_range_over_a_list_is_asked_of_one_element(keys: Keys) -> None:
    """Two elements, one below and one above, would pass a plain range together."""
    period = plan(keys, Where("date", DateIs("eq", 1, 9))).pre
    starts = plan(keys, Where("name", StringStarts("li"))).pre

    assert period["i"].keys() == starts["s"].keys() == {"$elemMatch"}
    assert period["i"]["$elemMatch"]["p"] == parameter("Observation", "date")


def test_a_composite_is_asked_of_one_row(keys: Keys) -> None:
    made = plan(keys, Together("pair", (TokenIs("s", "a"), TokenIs(None, "b"))))

    row = made.pre["e"]["$elemMatch"]
    assert set(row) == {"k", "z", "a", "2"}
    assert row["2"] == {"$exists": False}


def test_classes_are_looked_up_once_and_after_what_indexes_answer(keys: Keys) -> None:
    denying = Not(AnyOf((All((DENIED, CODE)), About(frozenset({0}), 7))))
    made = plan(keys, All((OTHER, denying, DENIED)))

    names = [next(iter(stage)) for stage in made.stages]
    assert names == ["$lookup", "$set", "$match"]
    assert made.pre == {"t": "Observation", "l": 1, "k": code(keys, "b")}
    assert made.stages[0]["$lookup"]["pipeline"][1] == {"$match": {"z.a": {"$lte": NOW}, "z.b": {"$gt": NOW}}}
    assert not made.by_patients


def test_a_total_by_classes_alone_looks_each_patient_up_once(keys: Keys) -> None:
    alone = plan(keys, All((CODE, Not(DENIED)))).counting()
    mixed = plan(keys, Not(All((DENIED, CODE)))).counting()

    assert {"$group": {"_id": "$pat", "total": {"$sum": 1}}} in alone
    assert {"$group": {"_id": "$pat", "total": {"$sum": 1}}} not in mixed


@pytest.mark.parametrize(("above", "counts"), [(None, False), (3, False), (0, False), (-1, True)])
def test_class_0_is_above_a_negative_number_alone(keys: Keys, above: int | None, counts: bool) -> None:
    asked = str(plan(keys, About(frozenset({1}), above)).stages[-1])

    assert ("'un'" in asked) is counts


def test_a_link_is_a_list_of_keys_where_its_other_end_is_known(keys: Keys) -> None:
    known = plan(keys, TO_PATIENT, digests=(1, 2))
    nobody = plan(keys, TO_PATIENT, digests=())
    referring = plan(keys, Has("Observation", "subject", CODE), digests=(7,))

    assert len(known.pre["f"]["$in"]) == 2
    assert known.stages == ()
    assert nobody.is_empty
    assert referring.pre["_id"] == 7


def test_a_link_is_followed_where_it_is_not(keys: Keys) -> None:
    made = plan(keys, All((CODE, AnyOf((TO_PATIENT, OTHER)))))

    assert [next(iter(stage)) for stage in made.stages] == ["$set", "$lookup", "$match"]
    lookup = made.stages[1]["$lookup"]
    assert lookup["pipeline"][0] == {"$match": {"t": "Patient", "l": 1}}
    assert lookup["pipeline"][-2:] == [{"$limit": 1}, {"$project": {"_id": 1}}]
    assert "k" in made.pre


def test_links_that_lead_too_far_are_refused(keys: Keys) -> None:
    def chained(hops: int) -> Predicate:
        return CODE if hops == 0 else Chain("subject", "Patient", chained(hops - 1))

    assert plan(keys, chained(MOST_HOPS)).stages
    with pytest.raises(Fault) as fault:
        plan(keys, chained(MOST_HOPS + 1))
    assert fault.value.kind is Kind.TOO_COSTLY


@pytest.mark.parametrize(
    ("where", "exact"),
    [
        (Where("name", StringStarts("x" * 64)), True),
        (Where("name", StringStarts("x" * 65)), False),
        (Where("name", StringContains("x")), False),
        (Where("name", StringEnds("x")), False),
        (Where("name", StringEnds("x" * 70, whole=True)), True),
        (Contains("Patient", EVERYTHING), True),
        (Contains("Patient", CODE), False),
        (Together("pair", (TokenIs("s", "a"), StringContains("b"))), False),
        (Together("pair", (TokenIs("s", None), TokenIs(None, "b"))), False),
        (Together("pair", (TokenIs("s", "a"),)), False),
        (Together("pair", (TokenIn(frozenset({("s", "a")})), StringStarts("b"))), True),
    ],
)
def test_only_what_the_index_does_not_hold_is_opened(keys: Keys, where: Predicate, exact: bool) -> None:
    asked = Question.of("Observation", where, keys)

    assert asked.opens is not exact
    assert asked.asks_first is not exact


def test_what_is_opened_passes_the_other_conditions_first(keys: Keys) -> None:
    contains = Where("name", StringContains("x"))
    compiler = Compiler(keys, NOW)

    def candidates(where: Predicate) -> Any:
        return compiler.to_open(Question.of("Observation", where, keys))

    present = keys.present(parameter("Observation", "name"))
    assert str(code(keys, "a")) in str(candidates(All((contains, CODE))))
    # A condition under OR or NOT leaves nobody out who must be looked at.
    assert str(code(keys, "a")) not in str(candidates(AnyOf((contains, CODE))))
    assert candidates(Not(contains)) == {"$and": [{"t": "Observation", "l": 1}, {"k": present}]}


def test_a_filter_begins_with_what_an_index_answers_by_itself() -> None:
    live = {"t": "A", "l": 1}

    assert matching({**live, "k": 5}) == [{"$match": {"k": 5}}, {"$match": live}]
    assert matching({"$and": [{**live, "k": 5}, {"_id": 6}, {"k": 7}]}) == [
        {"$match": {"_id": 6}},
        {"$match": {"$and": [{"t": "A"}, {"l": 1}, {"k": 5}, {"k": 7}]}},
    ]
    assert matching({**live, "i": 1}) == [{"$match": live}, {"$match": {"i": 1}}]
    assert matching(FALSE) == [{"$match": FALSE}]
