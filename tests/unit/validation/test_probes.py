"""Every probe: refused with the code and the place, or accepted; and the valid samples."""

from collections.abc import Iterator
from typing import Any

import pytest

from fhir_server.resources import fhirpath
from fhir_server.validation import errors, validate
from tests.unit.validation.probes import ACCEPTED, REFUSED, Probe
from tests.unit.validation.samples import SAMPLES, changed


@pytest.mark.parametrize("name", SAMPLES)
def test_accepts_the_valid_sample(name: str) -> None:
    assert errors(SAMPLES[name]) == []
    assert [issue for issue in validate(SAMPLES[name]) if issue.severity == "error"] == []


@pytest.mark.parametrize("probe", REFUSED, ids=lambda probe: probe.name)
def test_refuses_and_says_what_and_where(probe: Probe) -> None:
    found = errors(changed(probe.sample, *probe.changes))

    assert (probe.code, (probe.where,)) in [(issue.code, issue.expression) for issue in found]


@pytest.mark.parametrize("probe", ACCEPTED, ids=lambda probe: probe.name)
def test_accepts(probe: Probe) -> None:
    assert errors(changed(probe.sample, *probe.changes)) == []


def test_probes_have_names_of_their_own() -> None:
    names = [probe.name for probe in (*REFUSED, *ACCEPTED)]

    assert len(names) == len(set(names))
    assert len(REFUSED) >= 71


@pytest.mark.parametrize("probe", REFUSED, ids=lambda probe: probe.name)
def test_expression_is_fhirpath_that_runs(probe: Probe) -> None:
    tree = changed(probe.sample, *probe.changes)

    for issue in errors(tree):
        for expression in issue.expression:
            fhirpath.compile(expression, probe.sample)(tree)


def _leaves(tree: Any, path: str = "") -> Iterator[str]:
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in pairs:
        yield from _leaves(value, f"{path}.{key}" if path else str(key))
    if not isinstance(tree, dict | list):
        yield path


@pytest.mark.parametrize("name", SAMPLES)
def test_words_quote_nothing_of_the_resource(name: str) -> None:
    secret = "\x01 Zhang 990101 "
    for path in _leaves(SAMPLES[name]):
        found = validate(changed(name, (path, secret)))

        assert any(issue.severity == "error" for issue in found), path
        assert all("990101" not in f"{issue.diagnostics}{issue.expression}" for issue in found), path


def test_reports_every_problem_at_once() -> None:
    tree = changed(
        "Patient",
        ("gender", "mujer"),
        ("birthDate", "1980-02-30"),
        ("name.0.given.0", 5),
        ("contact.0.name", {}),
        ("nickname", "x"),
    )

    assert {issue.expression for issue in errors(tree)} == {
        ("Patient.gender",),
        ("Patient.birthDate",),
        ("Patient.name[0].given[0]",),
        ("Patient.contact[0].name",),
        ("Patient.nickname",),
    }


def test_warnings_come_only_when_asked_for() -> None:
    tree = changed("Observation")

    assert errors(tree) == []
    assert [(issue.severity, issue.diagnostics[:5]) for issue in validate(tree)] == [("warning", "dom-6")]


@pytest.mark.parametrize(
    "tree",
    [
        None,
        True,
        1,
        "Patient",
        [],
        [{}],
        {},
        {"resourceType": None},
        {"resourceType": "Pacient"},
        {"id": "x"},
    ],
    ids=repr,
)
def test_refuses_what_is_no_resource(tree: object) -> None:
    assert [issue.code for issue in errors(tree)] == ["structure"]


@pytest.mark.parametrize("name", ["Resource", "DomainResource", "HumanName", "Patient.contact", "string"])
def test_refuses_a_type_that_is_no_concrete_resource(name: str) -> None:
    assert errors({"resourceType": name}) != []


def test_walks_into_the_entries_of_a_bundle() -> None:
    bad, good = changed("Patient", ("gender", "mujer")), changed("Coverage")
    tree = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": good}, {"resource": bad}]}

    assert [issue.expression for issue in errors(tree)] == [("Bundle.entry[1].resource.gender",)]
    assert errors({**tree, "entry": [{"resource": good}]}) == []


def test_each_entry_resolves_its_own_contained() -> None:
    claim = changed("Claim", ("provider", {"reference": "#org"}))
    tree = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": changed("Patient")}]}

    assert errors(tree) == []
    assert errors({**tree, "entry": [*tree["entry"], {"resource": claim}]}) != []


def test_refuses_more_than_500_problems_in_short() -> None:
    tree = changed("Patient", ("name", [{"family": 1}] * 5000))

    found = errors(tree)

    assert len(found) == 501
    assert found[-1].code == "incomplete"


def test_refuses_a_tree_ten_thousand_levels_deep() -> None:
    extension: dict[str, object] = {"url": "http://x", "valueBoolean": True}
    for _ in range(10_000):
        extension = {"url": "http://x", "extension": [extension]}

    assert [issue.code for issue in errors(changed("Patient", ("extension", [extension])))] == ["structure"]
