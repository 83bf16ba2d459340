"""What is compiled says what the Consents say: any Consents, askers, records and instants.

``consent.plain`` reads the directives; ``consent.combine``, ``compile`` and ``groups`` make Rules, slices of
time and predicates of them. Both must give the same answer for each record.
"""

from __future__ import annotations

from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from fhir_server.consent.asking import Asking
from fhir_server.consent.combine import slices, spoken
from fhir_server.consent.groups import Consents
from fhir_server.consent.plain import decide
from fhir_server.consent.plain_records import Record
from fhir_server.consent.policy import Overarching
from fhir_server.consent.source import Directive, directive, refusals
from fhir_server.search.match import matches, passes
from fhir_server.search.predicate import TokenIs, Where
from fhir_server.store.api import Slice
from tests.consent.wishes import INSTANTS, OWN_TAG, WORLD, ZONE, Shelf, askings, consents

Tree = dict[str, Any]
OWN = TokenIs(OWN_TAG["system"], OWN_TAG["code"])
OVERARCHING = st.sampled_from(("treatment", "permit", "deny"))


def read(trees: list[Tree]) -> list[Directive]:
    found = [directive(tree, ZONE) for tree in trees]
    return [each for each in found if each is not None]


class Classes:
    """The policy classes of some patients, as a store keeps them."""

    def __init__(self, overarching: Overarching) -> None:
        self.consents = Consents(overarching)
        self._numbers: dict[bytes, int] = {}
        self._slices: dict[str, tuple[Slice, ...]] = {}

    def file(self, patient: str, directives: list[Directive]) -> None:
        self._slices[patient] = spoken(slices(directives))
        for each in self._slices[patient]:
            self._numbers.setdefault(each.rule, len(self._numbers) + 1)
        self.consents.learn((number, rule) for rule, number in self._numbers.items())

    def of(self, patient: str, instant: int) -> int:
        found = [each for each in self._slices.get(patient, ()) if each.start <= instant < each.end]
        return self._numbers[found[0].rule] if found else 0


@settings(max_examples=200, deadline=None)
@given(
    st.tuples(consents("1"), consents("2"), consents("3")),
    st.lists(askings(), min_size=3, max_size=3),
    WORLD,
    INSTANTS,
    OVERARCHING,
)
def test_the_compiled_form_and_the_plain_one_agree_on_every_record(
    filed: tuple[Tree, ...],
    asked: list[Asking],
    world: tuple[Tree, ...],
    instant: int,
    overarching: Overarching,
) -> None:
    directives = read(list(filed))
    shelf = Shelf(world)
    classes = Classes(overarching)
    classes.file("p", directives)

    for asking in asked:
        for (type_, id_), values in shelf.records.items():
            condition = classes.consents.condition(asking, type_, Where("_tag", OWN))
            seen = matches(
                condition,
                type_,
                id_,
                values,
                shelf.resolve,
                shelf.referrers,
                lambda patient: classes.of(patient, instant),
            )
            record = Record(type_, id_, values, shelf.resolve)
            own = passes(OWN, "_tag", values)
            verdict = decide(directives, asking, record, instant, overarching=overarching, own=own)
            expected = verdict.permit or not values.patients

            event(f"{verdict.reason}: {'permit' if verdict.permit else 'deny'}")
            assert seen == expected, (asking, type_, id_, verdict.reason)


@given(consents())
@settings(max_examples=50, deadline=None)
def test_whatever_the_strategies_make_can_be_enforced(tree: Tree) -> None:
    assert refusals(tree, ZONE) == ()
