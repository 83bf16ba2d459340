"""How an old version is judged: by its own content, among what there is now."""

from __future__ import annotations

from datetime import UTC

from fhir_server.search.extract import Extractor
from fhir_server.search.predicate import EVERYTHING, About, Chain, IdIn, TokenIs, Where
from fhir_server.search.values import Values
from fhir_server.stores import judge

ALONE = (lambda *_: None, lambda *_: (), lambda _: 0)
"""Leads to nothing, nothing leads to it, and its patients are in no policy class."""


def test_old_versions_are_judged_by_their_own_content() -> None:
    judged = judge(Extractor(UTC).from_body)
    body = b'{"resourceType":"Patient","id":"1","gender":"male"}'

    assert judged(Where("gender", TokenIs(None, "male")), "Patient", body, *ALONE)
    assert not judged(Where("gender", TokenIs(None, "female")), "Patient", body, *ALONE)
    assert judged(IdIn(("1",)), "Patient", body, *ALONE)


def test_old_versions_are_judged_by_the_classes_that_their_patients_are_in_now() -> None:
    judged = judge(Extractor(UTC).from_body)
    body = b'{"resourceType":"Observation","id":"1","subject":{"reference":"Patient/1"}}'

    assert judged(About(frozenset({7})), "Observation", body, *ALONE[:2], {"1": 7}.__getitem__)
    assert not judged(About(frozenset({7})), "Observation", body, *ALONE)


def test_old_versions_are_judged_among_what_there_is_now() -> None:
    judged = judge(Extractor(UTC).from_body)
    body = b'{"resourceType":"Observation","id":"1","subject":{"reference":"Patient/1"}}'
    about_somebody = Chain("subject", "Patient", EVERYTHING)

    assert judged(about_somebody, "Observation", body, lambda *_: Values(), *ALONE[1:])
    assert not judged(about_somebody, "Observation", body, *ALONE)
