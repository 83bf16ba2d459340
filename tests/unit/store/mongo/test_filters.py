"""Filters joined mean what AND, OR and NOT mean: on random data, judged by a few lines of plain Python."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fhir_server.store.mongo.filters import FALSE, TRUE, Filter, all_of, among, any_of, depth, merged, negated

FIELDS = ("_id", "k", "f", "s")
LEAVES = st.one_of(
    st.just(TRUE),
    st.just(FALSE),
    st.builds(lambda field, value: {field: value}, st.sampled_from(FIELDS), st.integers(0, 3)),
    st.builds(among, st.sampled_from(FIELDS), st.lists(st.integers(0, 3), max_size=3, unique=True)),
)
DOCUMENTS = st.fixed_dictionaries({field: st.lists(st.integers(0, 3), max_size=3) for field in FIELDS})


def holds(filter_: Filter, document: dict[str, list[int]]) -> bool:
    """Say whether a document passes, by MongoDB's words for lists."""
    return all(_condition(name, wanted, document) for name, wanted in filter_.items())


def _condition(name: str, wanted: Any, document: dict[str, list[int]]) -> bool:
    if name in ("$and", "$or", "$nor"):
        assert wanted, "the engine refuses an empty list"
        passed = [holds(each, document) for each in wanted]
        return {"$and": all(passed), "$or": any(passed), "$nor": not any(passed)}[name]
    values = wanted["$in"] if isinstance(wanted, dict) else [wanted]
    return any(value in document[name] for value in values)


TREES: st.SearchStrategy[Any] = st.recursive(
    LEAVES.map(lambda leaf: ("is", leaf)),
    lambda inner: st.one_of(
        st.tuples(st.just("all"), st.lists(inner, max_size=4)),
        st.tuples(st.just("any"), st.lists(inner, max_size=4)),
        st.tuples(st.just("not"), inner),
    ),
    max_leaves=12,
)


def joined(tree: Any) -> Filter:
    word, rest = tree
    if word == "is":
        leaf: Filter = rest
        return leaf
    if word == "not":
        return negated(joined(rest))
    return (all_of if word == "all" else any_of)(joined(each) for each in rest)


def meant(tree: Any, document: dict[str, list[int]]) -> bool:
    word, rest = tree
    if word == "is":
        return holds(rest, document)
    if word == "not":
        return not meant(rest, document)
    return (all if word == "all" else any)(meant(each, document) for each in rest)


@given(TREES, DOCUMENTS)
def test_joined_filters_mean_what_their_parts_mean(tree: Any, document: dict[str, list[int]]) -> None:
    assert holds(joined(tree), document) is meant(tree, document)


@given(st.lists(LEAVES, max_size=4), DOCUMENTS)
def test_merged_conditions_all_hold(parts: list[Filter], document: dict[str, list[int]]) -> None:
    assert holds(merged(parts), document) is all(holds(each, document) for each in parts)


def test_nothing_and_everything_are_no_empty_lists() -> None:
    assert all_of([]) is TRUE
    assert any_of([]) is FALSE
    assert negated(TRUE) is FALSE
    assert negated(FALSE) is TRUE
    assert negated(negated({"k": 1})) == {"k": 1}
    assert among("k", []) is FALSE


def test_counts_how_deep_documents_and_lists_lie_in_each_other() -> None:
    assert depth({"k": 5}) == 1
    assert depth({"k": {"$in": [1, 2]}}) == 3
    assert depth([{"$match": {"$and": [{"k": 1}, {"$nor": [{"k": 2}]}]}}]) == 7
