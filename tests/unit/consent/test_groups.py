"""All policy classes in one condition: several patients, unknown classes, one's own records, limits."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.consent import groups
from fhir_server.consent.asking import Asking
from fhir_server.consent.combine import slices
from fhir_server.consent.groups import Consents, seen_under
from fhir_server.consent.policy import CONFIDENTIALITY
from fhir_server.consent.rule import from_bytes
from fhir_server.consent.source import directive
from fhir_server.faults import Fault, Kind
from fhir_server.search.match import matches
from fhir_server.search.predicate import EVERYTHING, NOTHING, Predicate, TokenIs, Where, negate
from tests.consent.wishes import PARTICIPATION, ZONE, Shelf, Tree, coding, concept, consent, refers

B = Asking(organization="Organization/b", purpose="TREAT")
OWN = Where("_tag", TokenIs("urn:test", "own"))


def rule(root: Tree) -> bytes:
    found = directive(consent(root), ZONE)
    assert found is not None
    return slices([found])[0].rule


DENY = rule({"type": "deny"})
PERMIT = rule({"type": "permit"})
NOT_RESTRICTED = rule(
    {"type": "permit", "provision": [{"type": "deny", "securityLabel": [coding(CONFIDENTIALITY, "R")]}]}
)


def names(organization: str) -> bytes:
    role = concept(coding(PARTICIPATION, "IRCP"))
    return rule({"type": "deny", "actor": [{"role": role, "reference": refers(organization)}]})


def known(*rules: bytes) -> Consents:
    consents = Consents()
    consents.learn(enumerate(rules, 1))
    return consents


def sees(condition: Predicate, classes: dict[str, int], **elements: Any) -> bool:
    tree = {"resourceType": "Appointment", "id": "1", **elements}
    shelf = Shelf((tree,))
    values = shelf.records["Appointment", "1"]
    return matches(
        condition,
        "Appointment",
        "1",
        values,
        shelf.resolve,
        shelf.referrers,
        lambda each: classes.get(each, 0),
    )


def about(*patients: str) -> dict[str, Any]:
    return {"participant": [{"actor": refers(f"Patient/{each}")} for each in patients]}


def test_of_a_record_about_several_patients_all_must_permit() -> None:
    condition = known(DENY, PERMIT).condition(B, "Appointment")
    classes = {"p": 1, "q": 2}

    assert not sees(condition, classes, **about("p"))
    assert not sees(condition, classes, **about("p", "q"))
    assert sees(condition, classes, **about("q"))
    assert sees(condition, classes, **about("q", "r"))


def test_a_record_about_nobody_is_not_touched() -> None:
    assert sees(known(DENY).condition(B, "Appointment"), {"p": 1})


def test_a_type_that_is_about_no_patient_has_no_condition() -> None:
    assert known(DENY).condition(B, "Medication") is EVERYTHING
    assert known(DENY).condition(B, "Patient") is not EVERYTHING


def test_a_class_that_is_not_known_yet_hides_its_patients() -> None:
    consents = known(PERMIT)

    assert not sees(consents.condition(B, "Appointment"), {"p": 2}, **about("p"))
    assert not sees(consents.condition(B, "Appointment", OWN), {"p": 2}, **about("p"))

    consents.learn([(2, PERMIT)])

    assert sees(consents.condition(B, "Appointment"), {"p": 2}, **about("p"))


def test_what_was_learnt_twice_or_late_changes_nothing() -> None:
    consents = known(DENY)
    consents.learn([(1, PERMIT)])

    assert consents.highest == 1
    assert not sees(consents.condition(B, "Appointment"), {"p": 1}, **about("p"))


def test_a_rule_that_cannot_be_read_hides_its_patients() -> None:
    assert not sees(known(b"?").condition(B, "Appointment"), {"p": 1}, **about("p"))


def test_a_custodian_sees_its_own_records_and_of_others_what_a_stranger_sees() -> None:
    condition = known(DENY).condition(B, "Appointment", OWN)
    own = {"meta": {"tag": [{"system": "urn:test", "code": "own"}]}}

    assert sees(condition, {"p": 1}, **own, **about("p"))
    assert not sees(condition, {"p": 1}, **about("p"))


def test_a_custodian_that_is_named_is_refused_its_own_too() -> None:
    condition = known(names("Organization/b")).condition(B, "Appointment", OWN)

    assert not sees(condition, {"p": 1}, meta={"tag": [{"system": "urn:test", "code": "own"}]}, **about("p"))


def test_whose_record_it_is_is_asked_only_where_it_makes_a_difference() -> None:
    named = names("Organization/b")

    assert repr(OWN) not in repr(known(named, PERMIT).condition(B, "Appointment", OWN))
    assert repr(OWN) in repr(known(named, DENY).condition(B, "Appointment", OWN))


OWNS: list[Predicate] = [NOTHING, OWN]
RULES = st.lists(
    st.sampled_from([DENY, PERMIT, NOT_RESTRICTED, names("Organization/b"), names("Organization/c")]),
    min_size=1,
    max_size=5,
)


@settings(deadline=None)
@given(RULES, st.data())
def test_all_classes_together_say_of_each_what_its_rule_says(rules: list[bytes], data: st.DataObject) -> None:
    number = data.draw(st.integers(1, len(rules)))
    own = data.draw(st.sampled_from(OWNS))
    tags = data.draw(st.sampled_from([[], [{"system": "urn:test", "code": "own"}]]))
    labels = data.draw(st.sampled_from([[], [coding(CONFIDENTIALITY, "R")]]))
    record = {"meta": {"tag": tags, "security": labels}, **about("p")}

    together = known(*rules).condition(B, "Appointment", own)
    alone = seen_under(from_bytes(rules[number - 1]), B, "Appointment", own)

    assert sees(together, {"p": number}, **record) == sees(alone, {"p": number}, **record)


def test_the_same_question_has_the_same_answer_object_until_a_class_is_learnt() -> None:
    consents = known(DENY)
    first = consents.condition(B, "Appointment", OWN)

    assert consents.condition(B, "Appointment", OWN) is first
    consents.learn([(2, NOT_RESTRICTED)])
    assert consents.condition(B, "Appointment", OWN) != first


def test_only_new_classes_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    consents = known(DENY, PERMIT)
    consents.condition(B, "Appointment")
    compiled: list[object] = []
    real = groups.compile_rule

    def counting(*arguments: Any) -> Predicate:
        compiled.append(arguments[0])
        return real(*arguments)

    monkeypatch.setattr(groups, "compile_rule", counting)
    consents.learn([(3, NOT_RESTRICTED)])
    consents.condition(B, "Appointment")

    assert len(compiled) == 2  # as a stranger and as a custodian


def test_classes_that_come_to_the_same_are_one_condition() -> None:
    elsewhere = [names(f"Organization/{at}") for at in range(100)]

    assert known(*elsewhere, PERMIT).condition(B, "Appointment") == known(
        *elsewhere[:99], PERMIT, PERMIT
    ).condition(B, "Appointment")


def test_too_many_different_conditions_are_refused_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "MOST_CONDITIONS", 2)

    assert known(DENY).condition(B, "Appointment", NOTHING) is not None
    with pytest.raises(Fault) as raised:
        known(DENY, NOT_RESTRICTED).condition(B, "Appointment", NOTHING)
    assert raised.value.kind is Kind.FORBIDDEN
    assert raised.value.issues[0].code == "too-costly"


def test_too_many_codes_are_refused_as_too_many_conditions_are(monkeypatch: pytest.MonkeyPatch) -> None:
    few, many = known(coded("1", "2")), known(coded(*map(str, range(50))))
    monkeypatch.setattr(groups, "MOST_TESTS", 49)

    assert few.condition(B, "Appointment", NOTHING) is not None
    with pytest.raises(groups.TooManyConditions):
        many.condition(B, "Appointment", NOTHING)


def coded(*codes: str) -> bytes:
    values = [concept(coding("urn:x", each)) for each in codes]
    return rule({"type": "permit", "provision": [{"type": "deny", "code": values}]})


def test_partly_hides_the_patients_of_the_classes_that_cost_most_and_of_no_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    consents = known(coded(*map(str, range(50))), NOT_RESTRICTED, coded("1", "2"), DENY)
    monkeypatch.setattr(groups, "MOST_TESTS", 20)
    restricted = {"meta": {"security": [coding(CONFIDENTIALITY, "R")]}}
    classes = {"many": 1, "labelled": 2, "few": 3, "denying": 4, "silent": 0}

    for own in (NOTHING, OWN):
        with pytest.raises(groups.TooManyConditions):
            consents.condition(B, "Appointment", own)
        condition = consents.condition(B, "Appointment", own, partly=True)
        assert {each for each in classes if sees(condition, classes, **about(each))} == {
            "labelled",
            "few",
            "silent",
        }
        assert not sees(condition, classes, **about("few", "many"))
        assert not sees(condition, classes, **restricted, **about("labelled"))
        assert sees(condition, classes)


def test_who_has_said_nothing_is_never_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "MOST_CONDITIONS", 1)
    condition = known(DENY, PERMIT, NOT_RESTRICTED).condition(B, "Appointment", partly=True)

    assert sees(condition, {"p": 0}, **about("p"))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from([DENY, PERMIT, NOT_RESTRICTED, coded("1"), coded("1", "2"), coded("3")]), max_size=8
    ),
    st.integers(1, 6),
    st.sets(st.integers(1, 8)),
    st.sampled_from([NOTHING, OWN]),
)
def test_partly_shows_nothing_that_the_whole_hides_and_an_unused_class_nothing_at_all(
    rules: list[bytes], most: int, used: set[int], own: Predicate
) -> None:
    whole = known(*rules).condition(B, "Appointment", own)
    less = known(*rules)
    less.keep(used)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(groups, "MOST_CONDITIONS", most)
        part = less.condition(B, "Appointment", own, partly=True)

    for number in range(len(rules) + 2):
        for elements in ({}, {"meta": {"security": [coding(CONFIDENTIALITY, "R")]}}):
            shown = sees(part, {"p": number}, **elements, **about("p"))
            assert shown <= sees(whole, {"p": number}, **elements, **about("p"))
            if number and number not in used:
                assert not shown


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from([DENY, PERMIT, NOT_RESTRICTED, coded("1"), coded("2"), names("Organization/b")]),
        max_size=6,
    ),
    st.sampled_from([NOTHING, OWN]),
)
def test_what_is_hidden_coarsely_is_of_those_who_hide_something_and_all_that_is_hidden(
    rules: list[bytes], own: Predicate
) -> None:
    consents = known(*rules)
    hidden = negate(consents.condition(B, "Appointment", own))
    roughly = groups.coarse(hidden)

    assert groups.weight(roughly) <= groups.weight(hidden)
    for number in range(len(rules) + 2):
        for labels in ([], [coding(CONFIDENTIALITY, "R")]):
            meta = {"meta": {"security": labels}} if labels else {}
            assert sees(hidden, {"p": number}, **meta, **about("p")) <= sees(
                roughly, {"p": number}, **meta, **about("p")
            )
    for number in (0, *(at for at, each in enumerate(rules, 1) if each == PERMIT)):
        assert not sees(roughly, {"p": number}, **about("p"))
    assert not sees(roughly, {})


def test_classes_that_nobody_is_in_are_not_counted_and_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "MOST_CONDITIONS", 2)
    consents = known(coded("1"), coded("2"), coded("3"))
    with pytest.raises(groups.TooManyConditions):
        consents.condition(B, "Appointment")
    assert consents.minds_use

    consents.keep({2})
    compiled: list[object] = []
    monkeypatch.setattr(groups, "compile_rule", lambda *each: compiled.append(each))
    condition = consents.condition(B, "Appointment")

    assert compiled == []
    assert sees(condition, {"p": 2}, **about("p"))
    assert not sees(condition, {"p": 1}, **about("p"))


def test_a_class_that_is_entered_again_counts_again() -> None:
    consents = known(PERMIT, DENY)
    consents.keep({2})
    left = consents.revision
    assert not sees(consents.condition(B, "Appointment"), {"p": 1}, **about("p"))

    consents.keep({1, 2})

    assert consents.revision != left
    assert sees(consents.condition(B, "Appointment"), {"p": 1}, **about("p"))
    assert not consents.minds_use
    consents.keep({1, 2, 3})
    assert consents.revision == left + 1


def appointments(*ids: str) -> list[Tree]:
    return [{"meaning": "instance", "reference": refers(f"Appointment/{id_}")} for id_ in ids]


def hides(*ids: str) -> bytes:
    return rule({"type": "permit", "provision": [{"type": "deny", "data": appointments(*ids)}]})


def shows(*ids: str) -> bytes:
    return rule({"type": "permit", "data": appointments(*ids)})


def test_everybody_may_hide_records_and_it_is_one_condition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "MOST_CONDITIONS", 2)
    consents = known(hides("1"), *(hides(f"a{n}", f"b{n}") for n in range(400)), PERMIT)
    condition = consents.condition(B, "Appointment", NOTHING)
    silent, other, open_ = 0, 2, 402

    assert not sees(condition, {"p": 1}, **about("p"))
    assert sees(condition, {"p": silent}, **about("p"))
    assert sees(condition, {"p": open_}, **about("p"))
    assert not sees(condition, {"p": 1, "q": other}, **about("p", "q"))
    assert consents.condition(B, "Appointment", OWN) is not None


def test_what_alone_is_shown_is_a_condition_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Joined, a record that one patient shows would be shown of another who is in it too."""
    monkeypatch.setattr(groups, "MOST_CONDITIONS", 3)
    shown = known(shows("1"), shows("2")).condition(B, "Appointment")

    assert sees(shown, {"p": 1}, **about("p"))
    assert not sees(shown, {"p": 2}, **about("p"))
    assert not sees(shown, {"p": 1, "q": 2}, **about("p", "q"))
    with pytest.raises(Fault):
        known(*(shows(str(n)) for n in range(3))).condition(B, "Appointment")


def test_among_few_classes_the_others_hide_their_patients(monkeypatch: pytest.MonkeyPatch) -> None:
    consents = known(PERMIT, DENY, NOT_RESTRICTED)
    monkeypatch.setattr(groups, "MOST_CONDITIONS", 1)
    classes = {"p": 1, "q": 2, "r": 3, "s": 4}

    for own in (NOTHING, OWN):
        condition = consents.condition_among(B, "Appointment", [1], own)
        assert sees(condition, classes, **about("p"))
        assert not any(sees(condition, classes, **about(each)) for each in ("q", "r", "s", "nobody"))
        assert not sees(condition, classes, **about("p", "r"))
        assert sees(condition, classes)
    assert not sees(consents.condition_among(B, "Appointment", [2]), classes, **about("q"))
    assert consents.condition_among(B, "Medication", [1]) is EVERYTHING
    # To refuse where these are too many as well would tell that there is a record about all of them.
    several = consents.condition_among(B, "Appointment", [0, 1, 3])
    assert sees(several, classes, **about("nobody"))
    assert not sees(several, classes, **about("r"))


def test_the_longest_unused_asking_is_forgotten_and_answered_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "REMEMBERED", 2)
    consents = known(DENY)
    first = consents.condition(B, "Appointment")
    for each in "cde":
        consents.condition(Asking(organization=f"Organization/{each}"), "Appointment")

    assert consents.condition(B, "Appointment") == first
