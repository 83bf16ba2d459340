"""The published profile says what is checked, and what is checked is what it says.

https://hl7.org/fhir/R4/profiling.html
"""

from __future__ import annotations

import copy
import json
from importlib.resources import files
from typing import Any

import pytest

from fhir_server.consent.policy import ACT_CODE
from fhir_server.consent.provisions import ACTION_SYSTEM, LOINC
from fhir_server.consent.source import refusals
from fhir_server.resources import fhirpath
from fhir_server.resources.types import definitions
from tests.consent.wishes import PARTICIPATION, REASON, ZONE, Tree, coding, concept, consent, refers

PROFILE = json.loads((files("conformance") / "profiles" / "consent.json").read_bytes())
ELEMENTS = {each["path"]: each for each in PROFILE["differential"]["element"]}
FULL = consent(
    {
        "type": "deny",
        "actor": [{"role": concept(coding(PARTICIPATION, "IRCP")), "reference": refers("Organization/b")}],
        "action": [concept(coding(ACTION_SYSTEM, "access"))],
        "securityLabel": [coding(ACT_CODE, "HIV")],
        "purpose": [coding(REASON, "HRESCH")],
        "class": [coding(LOINC, "34133-9")],
        "code": [concept(coding(LOINC, "1-8"))],
        "data": [{"meaning": "instance", "reference": refers("Observation/1")}],
    }
)
REQUIRED = sorted(path for path, each in ELEMENTS.items() if each.get("min") == 1)
FORBIDDEN = sorted(path for path, each in ELEMENTS.items() if each.get("max") == "0")


def without(tree: Tree, path: str) -> Tree:
    """Return a copy in which nothing stands at ``path``; an object that becomes empty keeps a display."""
    changed = copy.deepcopy(tree)
    *way, last = path.split(".")[1:]
    node: Any = changed
    for step in way:
        node = node[step][0] if isinstance(node[step], list) else node[step]
    del node[last]
    node.setdefault("display" if last in ("reference", "code", "system") else "text", "x")
    return changed


def with_value(tree: Tree, path: str) -> Tree:
    changed = copy.deepcopy(tree)
    *way, last = path.split(".")[1:]
    node: Any = changed
    for step in way:
        node = node[step]
    node[last] = [{"url": "urn:x"}] if last == "modifierExtension" else "urn:x"
    return changed


def test_a_consent_with_every_element_conforms() -> None:
    assert refusals(FULL, ZONE) == ()


@pytest.mark.parametrize("path", REQUIRED)
def test_what_the_profile_requires_is_required(path: str) -> None:
    if path == "Consent.patient":
        tree = {key: value for key, value in FULL.items() if key != "patient"}
    else:
        tree = without(FULL, path)

    assert refusals(tree, ZONE)


@pytest.mark.parametrize("path", FORBIDDEN)
def test_what_the_profile_forbids_is_refused(path: str) -> None:
    assert refusals(with_value(FULL, path), ZONE)


def test_the_profile_allows_the_actors_that_are_understood_and_no_others() -> None:
    (allowed,) = ELEMENTS["Consent.provision.actor.reference"]["type"]
    names = {each.rpartition("/")[2] for each in allowed["targetProfile"]}

    for type_ in (
        "CareTeam",
        "Device",
        "Group",
        "Organization",
        "Patient",
        "Practitioner",
        "PractitionerRole",
        "RelatedPerson",
    ):
        tree = copy.deepcopy(FULL)
        tree["provision"]["actor"][0]["reference"] = refers(f"{type_}/1")
        assert (refusals(tree, ZONE) == ()) == (type_ in names)


def test_every_path_of_the_profile_is_one_of_consent() -> None:
    for path in ELEMENTS:
        type_ = "Consent"
        for step in path.split(".")[1:]:
            found = definitions()[type_].properties
            if step in found:
                type_ = found[step][1]
            else:
                assert type_ == "Consent.provision"
                assert step == "provision"


@pytest.mark.parametrize(
    ("changed", "broken"),
    [
        ({}, set()),
        (
            {"provision": {"period": {"start": "2024"}}, "policyRule": concept(coding(ACT_CODE, "OPTIN"))},
            set(),
        ),
        ({"provision": {"period": {"start": "2024"}}}, {"con-1"}),
        (
            {
                "provision": {"purpose": [coding(REASON, "TREAT")]},
                "policyRule": concept(coding(ACT_CODE, "OPTIN")),
            },
            {"con-1"},
        ),
        ({"provision": {"type": "deny", "modifierExtension": [{"url": "urn:x"}]}}, {"con-2"}),
    ],
)
def test_the_constraints_of_the_profile_are_what_is_checked(changed: Tree, broken: set[str]) -> None:
    tree = {**FULL, **changed}
    found = {
        each["key"]
        for each in ELEMENTS["Consent"]["constraint"]
        if fhirpath.compile(each["expression"], "Consent")(tree) != [True]
    }

    assert found == broken
    assert bool(refusals(tree, ZONE)) == bool(broken)
