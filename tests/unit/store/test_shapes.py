"""What took too long for the event loop is not tried there again at once, and nothing of anybody is kept."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.search.predicate import (
    All,
    AnyOf,
    Chain,
    DateIs,
    Everything,
    Has,
    IdIn,
    Not,
    Predicate,
    ReferenceIs,
    StringStarts,
    Together,
    TokenIn,
    TokenIs,
    Where,
)
from fhir_server.search.query import Position, Query, Sort
from fhir_server.store.sqlite.shapes import _MOST, _TRUST, Stopped, shape_of

SECRETS = st.text("秘密abc", min_size=3, max_size=6)


def every_kind(secret: str, moment: int) -> Predicate:
    """Ask for ``secret`` in every way that a shape tells apart."""
    token = Where("code", TokenIs("s", secret))
    return All(
        (
            Not(token),
            AnyOf((Where("name", StringStarts(secret)), Where("date", DateIs("ge", moment, moment)))),
            Chain("subject", "Patient", Where("identifier", TokenIn(frozenset({("s", secret)})))),
            Has("Observation", "subject", Where("performer", ReferenceIs((f"Practitioner/{secret}",)))),
            IdIn((secret,)),
            Together("code-value-string", (TokenIs("s", secret),)),
        )
    )


@given(st.lists(SECRETS, min_size=2, max_size=2, unique=True), st.integers(0, 2**40), st.integers(0, 2**40))
def test_a_shape_tells_nothing_of_what_was_asked_for(secrets: list[str], one: int, other: int) -> None:
    shapes = [
        shape_of(Query("Patient", every_kind(secret, moment), after=Position((secret,), 1)), is_guarded=True)
        for secret, moment in zip(secrets, (one, other), strict=True)
    ]

    assert shapes[0] == shapes[1]
    assert not any(secret in repr(shape) for secret, shape in zip(secrets, shapes, strict=True))


ASKED = Query("Observation", Where("code", TokenIs("s", "a")), (Sort("date", descending=True),), count=20)
OTHERS = {
    "type": replace(ASKED, type="Condition"),
    "parameter": replace(ASKED, where=Where("status", TokenIs("s", "a"))),
    "kind of test": replace(ASKED, where=Where("code", StringStarts("a"))),
    "nothing": replace(ASKED, where=Everything()),
    "order": replace(ASKED, sort=(Sort("date"),)),
    "size of the page": replace(ASKED, count=1000),
    "total": replace(ASKED, total="accurate"),
    "later page": replace(ASKED, after=Position((1,), 1)),
    "earlier page": replace(ASKED, before=Position((1,), 1)),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_what_is_asked_in_another_way_has_another_shape(other: Query) -> None:
    assert shape_of(other, is_guarded=False) != shape_of(ASKED, is_guarded=False)
    assert shape_of(other, is_guarded=False) == shape_of(replace(other), is_guarded=False)


def test_who_may_not_see_everything_asks_in_another_shape() -> None:
    assert shape_of(ASKED, is_guarded=True) != shape_of(ASKED, is_guarded=False)


def test_ten_references_have_another_shape_than_one() -> None:
    one, ten = (
        shape_of(
            Query("Observation", Where("subject", ReferenceIs(tuple(map(str, range(n)))))), is_guarded=False
        )
        for n in (1, 10)
    )
    assert one != ten


def test_a_shape_is_trusted_again_after_it_was_quick_often_enough() -> None:
    stopped = Stopped()
    assert not stopped
    stopped.add(("a",))
    for _ in range(_TRUST - 1):
        stopped.was_quick(("a",))
    assert ("a",) in stopped

    stopped.was_quick(("a",))
    assert ("a",) not in stopped
    assert not stopped


def test_one_that_is_slow_meanwhile_begins_the_count_anew() -> None:
    stopped = Stopped()
    stopped.add(("a",))
    for _ in range(_TRUST - 1):
        stopped.was_quick(("a",))
    stopped.add(("a",))
    stopped.was_quick(("a",))

    assert ("a",) in stopped


def test_the_shapes_stopped_longest_ago_are_forgotten_first() -> None:
    stopped = Stopped()
    for number in range(_MOST):
        stopped.add((number,))
    stopped.add((0,))
    stopped.add(("one more",))

    assert (0,) in stopped
    assert (1,) not in stopped
    assert (2,) in stopped
