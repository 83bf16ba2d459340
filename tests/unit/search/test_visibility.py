"""What may be seen: rights and consents joined at every hop, and what a page link depends on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from fhir_server.search.predicate import (
    EVERYTHING,
    NOTHING,
    About,
    All,
    Chain,
    Contains,
    Has,
    Predicate,
    TokenIs,
    Where,
    negate,
)
from fhir_server.search.visibility import Visibility

RIGHT = Where("code", TokenIs(None, "a"))
CONSENT = negate(About(frozenset({3})))
RIGHTS = Visibility("test", {"Patient": RIGHT, "Observation": EVERYTHING})


class Made(Mapping[str, Predicate]):
    """Consents that are worked out as they are asked for; ``asked`` says for which types, in order."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __getitem__(self, type_: str) -> Predicate:
        self.asked.append(type_)
        if type_ == "Basic":
            raise RuntimeError
        return CONSENT

    def __iter__(self) -> Iterator[str]:
        return iter(("Patient", "Observation"))

    def __len__(self) -> int:
        return 2


def consented(consents: Mapping[str, Predicate], of: Visibility = RIGHTS) -> Visibility:
    return Visibility(of.reason, of.by_type, of.default, of.holder, consents)


def test_rights_and_consents_are_both_needed() -> None:
    view = consented({"Patient": CONSENT, "Observation": NOTHING})

    assert view.of("Patient") == All((RIGHT, CONSENT))
    assert view.of("Observation") == NOTHING
    assert view.right_to("Observation") == EVERYTHING


def test_a_type_that_consents_do_not_name_is_not_seen() -> None:
    assert consented({"Patient": CONSENT}).of("Observation") == NOTHING
    assert consented({}).of("Patient") == NOTHING
    assert RIGHTS.of("Observation") == EVERYTHING


def test_consents_hold_at_every_hop() -> None:
    view = consented({"Patient": CONSENT, "Observation": EVERYTHING})

    assert view.restrict("Observation", Chain("subject", "Patient", RIGHT)) == Chain(
        "subject", "Patient", All((RIGHT, CONSENT, RIGHT))
    )
    assert view.restrict("Patient", Has("Observation", "subject", RIGHT)) == All(
        (RIGHT, CONSENT, Has("Observation", "subject", RIGHT))
    )


def test_who_is_asked_for_consent_does_not_see_everything() -> None:
    whole = Visibility.everything("test")

    assert whole.is_everything
    assert not consented({}, whole).is_everything
    assert not consented({"Patient": EVERYTHING}, whole).is_everything


def test_page_links_outlive_what_others_file_but_not_a_change_of_rights() -> None:
    views = [RIGHTS, consented({}), consented({"Patient": CONSENT}), consented(Made())]

    assert len({view.fingerprint for view in views}) == 1
    assert all(view == RIGHTS and hash(view) == hash(RIGHTS) for view in views)
    assert consented({}, Visibility("test", {"Patient": RIGHT})).fingerprint != RIGHTS.fingerprint


def test_consents_are_worked_out_once_and_for_what_is_asked_alone() -> None:
    made = Made()
    view = consented(made)
    assert made.asked == []

    for _ in range(3):
        view.restrict("Patient", RIGHT)

    assert made.asked == ["Patient"]


def test_what_goes_wrong_while_they_are_worked_out_shows_nothing() -> None:
    with pytest.raises(RuntimeError):
        consented(Made(), Visibility.everything("test")).of("Basic")


def test_a_hop_is_closed_by_rights_alone() -> None:
    """That consents leave nothing is found out by nobody: such a hop leads nowhere, like many another."""
    hop, closed = Chain("subject", "Patient", EVERYTHING), Chain("subject", "Group", EVERYTHING)
    view = consented({"Observation": EVERYTHING})

    assert view.closed_hop(hop) is None
    assert view.restrict("Observation", hop) == Chain("subject", "Patient", NOTHING)
    assert view.closed_hop(closed) == RIGHTS.closed_hop(closed) == "Group"


def test_what_is_contained_is_seen_by_the_rights_to_its_container() -> None:
    inside = Contains("Basic", RIGHT)

    assert RIGHTS.restrict("Observation", inside) == inside
    assert RIGHTS.restrict("Patient", inside) == All((RIGHT, inside))
    assert RIGHTS.restrict("Basic", inside) == NOTHING
    assert RIGHTS.closed_hop(inside) is None
    assert RIGHTS.closed_hop(Contains("Patient", Chain("x", "Basic", RIGHT))) == "Basic"
