"""Changes of Consents that only take away, told from those that may add."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from fhir_server.consent.narrowing import covers, narrows
from fhir_server.consent.plain_records import Record, is_about
from fhir_server.consent.policy import CONFIDENTIALITY
from fhir_server.consent.provisions import Provision
from fhir_server.consent.rule import Terms
from fhir_server.consent.source import Directive, directive
from tests.consent.wishes import (
    CODES,
    INSTANTS,
    WORLD,
    ZONE,
    Shelf,
    Tree,
    coding,
    concept,
    consent,
    consents,
)


def read(root: Tree | None = None, **more: Any) -> Directive:
    found = directive(consent(root or {"type": "permit"}, **more), ZONE)
    assert found is not None
    return found


CODED = {"code": [concept(each) for each in CODES[:2]]}
DENIAL = {"type": "deny", **CODED}


@pytest.mark.parametrize(
    "after",
    [
        {"type": "permit", "provision": [DENIAL, {"type": "deny", "code": [concept(CODES[2])]}]},
        {"type": "permit", "period": {"end": "2024"}, "provision": [DENIAL]},
        {"type": "permit", **CODED, "provision": [DENIAL]},
        {"type": "permit", "provision": [{"type": "deny"}]},
        {"type": "deny"},
    ],
    ids=["a further denial", "a shorter period", "of fewer records", "a wider denial", "a refusal"],
)
def test_what_takes_away_narrows_and_its_reverse_does_not(after: Tree) -> None:
    before = read({"type": "permit", "provision": [DENIAL]})

    assert narrows([before], [read(after)])
    assert not narrows([read(after)], [before])


def test_a_withdrawal_narrows_and_so_does_no_change() -> None:
    before = read()

    assert narrows([before], [read(status="inactive")])
    assert narrows([before], [before])
    assert narrows([before], [])


@pytest.mark.parametrize(
    "after",
    [
        {"id": "another"},
        {"policy": [{"uri": "urn:another"}]},
        {"dateTime": "2000-01-01"},
        {"status": "entered-in-error"},
    ],
    ids=["one more", "another matter", "older than it was", "never meant"],
)
def test_what_may_bring_others_to_life_is_no_narrowing(after: Tree) -> None:
    assert not narrows([read()], [read(**after)])


def test_a_denial_that_says_less_is_no_narrowing() -> None:
    label = {"type": "deny", "securityLabel": [coding(CONFIDENTIALITY, "R")]}
    before = read({"type": "permit", "provision": [label]})

    less = {"type": "permit", "provision": [{**label, "period": {"start": "2024"}}]}
    assert not narrows([before], [read(less)])
    excepted = {"type": "permit", "provision": [{**label, "provision": [{"type": "permit", **CODED}]}]}
    assert not narrows([before], [read(excepted)])
    assert narrows([read(excepted)], [before])


def _less(draw: st.DrawFn, wide: Provision) -> Provision:
    """Return a provision that says no more: fewer values, a shorter time, further and wider exceptions."""
    fields: dict[str, Any] = {}
    for name in ("labels", "codes", "actors", "data"):
        values = getattr(wide.terms, name)
        if values:
            chosen = draw(st.lists(st.sampled_from(values), min_size=1, unique=True))
            fields[name] = tuple(chosen)
    terms = structs.replace(wide.terms, **fields)
    further = draw(st.booleans())
    exceptions = (*wide.exceptions, *([Provision(not wide.permit, terms)] if further else []))
    if exceptions and draw(st.booleans()):
        exceptions = (replace(exceptions[0], terms=Terms()), *exceptions[1:])
    return replace(wide, terms=terms, exceptions=exceptions, start=max(wide.start, draw(INSTANTS)))


def _speaks(provision: Provision, record: Record) -> bool:
    return is_about(record, provision) and not any(_speaks(each, record) for each in provision.exceptions)


@settings(max_examples=150, deadline=None)
@given(consents(), consents(), WORLD, st.data())
def test_what_is_covered_is_spoken_of_and_what_says_less_is_covered(
    one: Tree, other: Tree, world: tuple[Tree, ...], data: st.DataObject
) -> None:
    found = [directive(each, ZONE) for each in (one, other)]
    provisions = [each for read_ in found if read_ is not None for each in read_.provisions]
    if not provisions:
        return
    wide, another = (data.draw(st.sampled_from(provisions)) for _ in range(2))
    less = data.draw(st.composite(_less)(wide))
    shelf = Shelf(world)

    assert covers(wide, wide)
    assert covers(wide, less)
    for narrow in (less, another):
        if covers(wide, narrow):
            for (type_, id_), values in shelf.records.items():
                record = Record(type_, id_, values, shelf.resolve)
                assert _speaks(narrow, record) <= _speaks(wide, record)
