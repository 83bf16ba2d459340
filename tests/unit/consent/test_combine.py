"""One patient's Consents become slices of time, each with a Rule that has one spelling."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.consent.combine import (
    MOST_CLAUSES,
    MOST_SLICES,
    MOST_VALUES,
    rule_at,
    slices,
    spoken,
    standing,
)
from fhir_server.consent.rule import REFUSAL, SILENCE, Rule, from_bytes, to_bytes
from fhir_server.consent.source import Directive, directive
from fhir_server.faults import Fault, Kind
from fhir_server.search.dates import OPEN_END, OPEN_START, span
from tests.consent.wishes import INSTANTS, ZONE, Tree, consent, consents, refers

FILED = st.tuples(consents("1"), consents("2"), consents("3"))


def read(*trees: Tree) -> list[Directive]:
    return [each for tree in trees if (each := directive(tree, ZONE)) is not None]


def permits(**elements: Any) -> Tree:
    return consent({"type": "permit"}, **elements)


def denies(**elements: Any) -> Tree:
    return consent({"type": "deny"}, **elements)


def ids(*trees: Tree) -> list[str]:
    return [each.id for each in standing(read(*trees))]


def test_the_newest_on_the_same_matter_replaces_the_older() -> None:
    assert ids(permits(id="1", dateTime="2024"), denies(id="2", dateTime="2025-01-01")) == ["2"]
    assert ids(permits(id="1", dateTime="2024-03"), denies(id="2", dateTime="2024-02")) == ["1"]


def test_what_was_stored_later_is_newer_among_equals() -> None:
    later = {"lastUpdated": "2025-06-01T00:00:00Z"}

    assert ids(permits(id="1", meta=later), denies(id="2")) == ["1"]


def test_consents_on_other_matters_stand_side_by_side() -> None:
    assert ids(permits(id="1"), denies(id="2", policy=[{"uri": "urn:other"}])) == ["1", "2"]


def test_to_withdraw_does_not_revive_an_older_consent() -> None:
    older, withdrawn = permits(id="1", dateTime="2023"), permits(id="2", dateTime="2024", status="inactive")

    assert ids(older, withdrawn) == []
    assert slices(read(older, withdrawn))[0].rule == to_bytes(SILENCE)


@pytest.mark.parametrize("status", ["draft", "proposed", "rejected", "entered-in-error"])
def test_what_was_never_in_force_replaces_nothing(status: str) -> None:
    assert ids(permits(id="1", dateTime="2023"), denies(id="2", dateTime="2024", status=status)) == ["1"]


def test_who_says_nothing_has_one_slice_of_silence() -> None:
    (only,) = slices([])

    assert (only.start, only.end, from_bytes(only.rule)) == (OPEN_START, OPEN_END, SILENCE)
    assert spoken([only]) == ()


def test_a_period_makes_its_own_slice_to_the_millisecond() -> None:
    tree = consent({"type": "permit", "period": {"start": "2024-01-01", "end": "2024-06-30"}})
    lo, hi = span("2024-01-01", ZONE)[0], span("2024-06-30", ZONE)[1]

    before, within, after = slices(read(tree))

    assert (within.start, within.end) == (lo, hi + 1)
    assert before.rule == after.rule == to_bytes(SILENCE)
    assert spoken([before, within, after]) == (within,)


def test_the_period_of_an_exception_is_a_boundary_too() -> None:
    tree = consent({"type": "permit", "provision": [{"type": "deny", "period": {"start": "2024-01-01"}}]})

    before, after = slices(read(tree))

    assert not from_bytes(before.rule).clauses[0].exceptions
    assert from_bytes(after.rule).clauses[0].exceptions


def test_too_many_boundaries_are_refused_with_advice() -> None:
    def minute(at: int) -> Tree:
        return {
            "start": f"2024-01-01T{at // 60:02}:{at % 60:02}:00Z",
            "end": f"2024-01-02T{at // 60:02}:{at % 60:02}:00Z",
        }

    nested = [{"type": "deny", "period": minute(at)} for at in range(MOST_SLICES // 2)]

    with pytest.raises(Fault) as raised:
        slices(read(consent({"type": "permit", "provision": nested})))

    assert raised.value.kind is Kind.UNPROCESSABLE
    assert str(MOST_SLICES) in raised.value.diagnostics
    assert slices(read(consent({"type": "permit", "provision": nested[1:]})))


def codes(first: int, many: int, **elements: Any) -> Tree:
    found = [{"coding": [{"system": "urn:x", "code": str(n)}]} for n in range(first, first + many)]
    return {"type": "deny", "code": found, **elements}


@pytest.mark.parametrize(
    ("provisions", "values"), [(MOST_CLAUSES // 2, 1), (2, MOST_VALUES // 4)], ids=["provisions", "codes"]
)
def test_what_holds_at_one_time_of_one_patient_is_bounded(provisions: int, values: int) -> None:
    """Twin: as much one after the other is kept, and so is what was withdrawn."""

    def wish(number: int, **elements: Any) -> Tree:
        nested = [codes(values * n, values) for n in range(number * 1000, number * 1000 + provisions - 1)]
        root = {"type": "permit", "provision": nested, **elements}
        return consent(root, id=str(number), policy=[{"uri": f"urn:policy:{number}"}])

    wishes = [wish(number) for number in range(4)]
    with pytest.raises(Fault) as raised:
        slices(read(*wishes, wish(4)))

    assert raised.value.kind is Kind.UNPROCESSABLE
    assert str(MOST_CLAUSES) in raised.value.diagnostics
    withdrawn = [{**each, "status": "inactive"} for each in wishes[1:]]
    assert slices(read(wishes[0], *withdrawn))
    assert slices(read(*(wish(n, period={"start": f"202{n}", "end": f"202{n}"}) for n in range(4))))


@given(FILED)
@settings(max_examples=60, deadline=None)
def test_slices_tile_the_line_and_neighbours_differ(filed: tuple[Tree, ...]) -> None:
    found = slices(read(*filed))

    assert (found[0].start, found[-1].end) == (OPEN_START, OPEN_END)
    assert all(one.end == other.start and one.rule != other.rule for one, other in pairwise(found))
    assert all(each.start < each.end for each in found)


@given(FILED, INSTANTS)
@settings(max_examples=60, deadline=None)
def test_a_slice_holds_the_rule_of_each_of_its_instants(filed: tuple[Tree, ...], instant: int) -> None:
    directives = read(*filed)
    (found,) = [each for each in slices(directives) if each.start <= instant < each.end]

    assert from_bytes(found.rule) == rule_at(standing(directives), instant)


def _shuffled(value: Any, data: st.DataObject) -> Any:
    """Return the same wish with its lists in another order and values repeated."""
    if isinstance(value, dict):
        return {key: _shuffled(each, data) for key, each in value.items()}
    if isinstance(value, list) and value:
        return data.draw(st.permutations([_shuffled(each, data) for each in [*value, value[0]]]))
    return value


@given(consents(), st.data())
@settings(max_examples=60, deadline=None)
def test_order_repetition_and_names_do_not_change_the_bytes(tree: Tree, data: st.DataObject) -> None:
    text = json.dumps({**tree, "provision": _shuffled(tree["provision"], data), "id": "renamed"})
    # An author stays as it is named; everything else that names the patient is the patient, whoever that is.
    whose = text if "authoredby" in text else text.replace("Patient/p", "Patient/q")

    assert [each.rule for each in slices(read(tree))] == [
        each.rule for each in slices(read(json.loads(whose)))
    ]


def test_a_rule_holds_nothing_of_its_patient() -> None:
    tree = consent({"type": "deny", "data": [{"meaning": "dependents", "reference": refers("Patient/p")}]})

    (only,) = slices(read(tree))

    assert b"Patient/p" not in only.rule


@given(FILED, INSTANTS)
@settings(max_examples=40, deadline=None)
def test_a_rule_comes_back_from_its_bytes(filed: tuple[Tree, ...], instant: int) -> None:
    found = rule_at(standing(read(*filed)), instant)

    assert from_bytes(to_bytes(found)) == found


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"\xff", b'{"clauses":[{"permit":1}],"version":1}', b'{"clauses":[],"version":2}']
)
def test_a_rule_that_cannot_be_read_refuses_everything(body: bytes) -> None:
    assert from_bytes(body) == REFUSAL


def test_a_rule_that_says_nothing_is_not_one_that_cannot_be_read() -> None:
    assert from_bytes(to_bytes(Rule(()))) == SILENCE != REFUSAL
