"""Conditions joined to one text: long lists stay shallow, and say what they said."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

import pytest

from fhir_server.store.sqlite.fragment import Sql, all_true, any_true, negated

Join = Callable[[Sequence[Sql]], Sql]


def equal(left: int, right: int) -> Sql:
    return Sql("?=?", (left, right))


def value(condition: Sql) -> bool:
    connection = sqlite3.connect(":memory:")
    try:
        return bool(connection.execute(f"SELECT {condition.text}", condition.args).fetchone()[0])
    finally:
        connection.close()


@pytest.mark.parametrize("many", [1, 2, 16, 17, 300, 10_000])
def test_a_list_of_any_length_is_no_deeper_than_sqlite_allows(many: int) -> None:
    assert value(any_true([*(equal(n, -1) for n in range(many)), equal(1, 1)]))
    assert not value(any_true([equal(n, -1) for n in range(many)]))
    assert value(all_true([equal(n, n) for n in range(many)]))
    assert not value(all_true([*(equal(n, n) for n in range(many)), equal(1, 2)]))


@pytest.mark.parametrize("join", [all_true, any_true])
def test_lists_in_lists_mean_what_they_mean_apart(join: Join) -> None:
    """Parentheses that are left out change nothing."""
    yes, no = equal(1, 1), equal(1, 2)
    other: Join = any_true if join is all_true else all_true
    for left in (yes, no):
        for right in (yes, no):
            inner = other([left, right, *[left] * 20])
            expected = (any if other is any_true else all)([value(left), value(right)])
            joined = join([inner, *[yes if join is all_true else no] * 20])
            assert value(joined) is expected
            assert value(negated(joined)) is not expected


def test_lists_within_lists_stay_shallow() -> None:
    condition = equal(1, 1)
    for _ in range(20):
        condition = any_true([all_true([condition, equal(1, 1)]), *[equal(1, 2)] * 100])

    assert value(condition)
