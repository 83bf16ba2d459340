"""A Consent is read whole or refused with every reason. https://hl7.org/fhir/R4/consent.html"""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.consent.policy import ACT_CODE, CONFIDENTIALITY
from fhir_server.consent.provisions import (
    ACTION_SYSTEM,
    LOINC,
    MOST_LEVELS,
    MOST_PROVISIONS,
    RESOURCE_TYPE_SYSTEM,
)
from fhir_server.consent.source import Directive, directive, refusals, stored_directive
from fhir_server.faults import Fault, Kind
from tests.consent.wishes import (
    PARTICIPATION,
    REASON,
    ZONE,
    Tree,
    coding,
    concept,
    consent,
    refers,
)

IRCP = concept(coding(PARTICIPATION, "IRCP"))
SCOPES = "http://terminology.hl7.org/CodeSystem/consentscope"
DAY = 86_400_000


def actor(reference: Any, role: Tree = IRCP) -> Tree:
    return {"role": role, "reference": reference}


def read(tree: Tree) -> Directive:
    found = directive(tree, ZONE, "https://here.example/fhir")
    assert found is not None
    return found


def root(**elements: Any) -> Tree:
    return consent({"type": "permit", **elements})


def nested(levels: int) -> Tree:
    inner: Tree = {"type": "deny" if levels % 2 == 0 else "permit"}
    return inner if levels == 1 else {**inner, "provision": [nested(levels - 1)]}


REFUSED: dict[str, tuple[Tree, str]] = {
    "a modifier extension deep inside": (
        root(actor=[{**actor(refers("Organization/b")), "modifierExtension": [{"url": "urn:x"}]}]),
        "Consent.provision.actor[0].modifierExtension",
    ),
    "implicit rules": ({**root(), "implicitRules": "urn:x"}, "Consent.implicitRules"),
    "no patient": ({**root(), "patient": {"display": "A"}}, "Consent.patient"),
    "a patient elsewhere": ({**root(), "patient": refers("https://x.example/Patient/1")}, "Consent.patient"),
    "a scope of no system": ({**root(), "scope": {"text": "privacy"}}, "Consent.scope"),
    "an unknown scope": ({**root(), "scope": concept(coding(SCOPES, "odd"))}, "Consent.scope"),
    "a category with a meaning of its own": (
        {
            **root(),
            "category": [
                concept(coding("http://terminology.hl7.org/CodeSystem/consentcategorycodes", "emrgonly"))
            ],
        },
        "Consent.category",
    ),
    "a policy without uri": ({**root(), "policy": [{}]}, "Consent.policy[0]"),
    "no base": (consent({}), "Consent.provision.type"),
    "an odd base": (consent({"type": "maybe"}), "Consent.provision.type"),
    "a root that does not say what its conditions are": (
        {
            **consent({"actor": [actor(refers("Organization/b"))]}),
            "policyRule": concept(coding(ACT_CODE, "OPTIN")),
        },
        "Consent.provision.type",
    ),
    "a rule against its root": (
        {**root(), "policyRule": concept(coding(ACT_CODE, "OPTOUT"))},
        "Consent.policyRule",
    ),
    "a nested provision of no kind": (root(provision=[{}]), "Consent.provision.provision[0].type"),
    "an inverted period": (
        root(period={"start": "2024", "end": "2023"}),
        "Consent.provision.period",
    ),
    "an inverted data period": (
        root(provision=[{"type": "deny", "dataPeriod": {"start": "2024-02-01", "end": "2024-01-31"}}]),
        "Consent.provision.provision[0].dataPeriod",
    ),
    "a period without ends": (root(period={}), "Consent.provision.period"),
    "a date that is none": (root(period={"start": "soon"}), "Consent.provision.period"),
    "an actor without reference": (root(actor=[{"role": IRCP}]), "Consent.provision.actor[0].reference"),
    "an actor by identifier": (
        root(actor=[actor({"identifier": {"value": "1"}})]),
        "Consent.provision.actor[0].reference",
    ),
    "an actor inside the Consent": (
        root(actor=[actor(refers("#a"))]),
        "Consent.provision.actor[0].reference",
    ),
    "a group of actors": (root(actor=[actor(refers("Group/1"))]), "Consent.provision.actor[0].reference"),
    "a care team": (root(actor=[actor(refers("CareTeam/1"))]), "Consent.provision.actor[0].reference"),
    "the patient as an actor": (
        root(actor=[actor(refers("Patient/p"))]),
        "Consent.provision.actor[0].reference",
    ),
    "a custodian as an actor": (
        root(actor=[actor(refers("Organization/a"), concept(coding(PARTICIPATION, "CST")))]),
        "Consent.provision.actor[0].role",
    ),
    "a role in words": (
        root(actor=[actor(refers("Organization/a"), {"text": "x"})]),
        "Consent.provision.actor[0].role",
    ),
    "a recipient who is nobody": (
        root(actor=[actor({"display": "B"})]),
        "Consent.provision.actor[0].reference",
    ),
    "an action of another system": (
        root(action=[concept(coding("urn:x", "access"))]),
        "Consent.provision.action[0].coding[0]",
    ),
    "a label of another system": (
        root(securityLabel=[coding("urn:x", "R")]),
        "Consent.provision.securityLabel[0]",
    ),
    "a confidentiality that is none": (
        root(securityLabel=[coding(CONFIDENTIALITY, "Z")]),
        "Consent.provision.securityLabel[0]",
    ),
    "a label without system": (root(securityLabel=[{"code": "R"}]), "Consent.provision.securityLabel[0]"),
    "a purpose of another system": (root(purpose=[coding("urn:x", "TREAT")]), "Consent.provision.purpose[0]"),
    "a purpose that is none": (root(purpose=[coding(REASON, "FUN")]), "Consent.provision.purpose[0]"),
    "a class that is no type": (
        root(**{"class": [coding(RESOURCE_TYPE_SYSTEM, "Notes")]}),
        "Consent.provision.class[0]",
    ),
    "a class by profile": (
        root(
            **{"class": [coding("urn:ietf:rfc:3986", "http://hl7.org/fhir/StructureDefinition/lipidprofile")]}
        ),
        "Consent.provision.class[0]",
    ),
    "a code in words": (root(code=[{"text": "diabetes"}]), "Consent.provision.code[0]"),
    "data without meaning": (
        root(data=[{"reference": refers("Encounter/1")}]),
        "Consent.provision.data[0].meaning",
    ),
    "one version of a record": (
        root(data=[{"meaning": "instance", "reference": refers("Observation/1/_history/2")}]),
        "Consent.provision.data[0].reference",
    ),
    "a record elsewhere": (
        root(
            data=[
                {"meaning": "instance", "reference": refers("urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7")}
            ]
        ),
        "Consent.provision.data[0].reference",
    ),
    "an empty list": (root(purpose=[]), "Consent.provision.purpose"),
    "a list of texts": (root(purpose=["TREAT"]), "Consent.provision.purpose[0]"),
    "too many levels": (
        consent(nested(MOST_LEVELS + 1)),
        "Consent.provision" + ".provision[0]" * (MOST_LEVELS - 1) + ".provision",
    ),
    "too many provisions": (root(provision=[{"type": "deny"}] * MOST_PROVISIONS), "Consent.provision"),
    "too many codes": (
        root(code=[concept(coding(LOINC, str(each))) for each in range(2000)]),
        "Consent.provision",
    ),
    "research that is also treatment": (
        {**root(purpose=[coding(REASON, "TREAT")]), "scope": concept(coding(SCOPES, "research"))},
        "Consent.provision.purpose",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_enforced_is_refused_with_its_place(name: str) -> None:
    tree, path = REFUSED[name]

    found = refusals(tree, ZONE)

    assert path in [each.expression[0] for each in found]
    assert all(each.severity == "error" and each.diagnostics.endswith(".") for each in found)


def test_every_reason_is_given_at_once() -> None:
    tree = {**root(purpose=[coding("urn:x", "a")], code=[{"text": "b"}]), "implicitRules": "urn:x"}

    with pytest.raises(Fault) as raised:
        directive(tree, ZONE)

    assert raised.value.kind is Kind.UNPROCESSABLE
    assert {each.expression[0] for each in raised.value.issues} == {
        "Consent.implicitRules",
        "Consent.provision.purpose[0]",
        "Consent.provision.code[0]",
    }


def test_a_refusal_repeats_nothing_of_the_consent() -> None:
    issues = refusals(root(purpose=[coding("urn:secret", "hidden")]), ZONE)

    assert not any("hidden" in each.diagnostics or "secret" in each.diagnostics for each in issues)


def test_the_deepest_nesting_is_read() -> None:
    provision = read(consent(nested(MOST_LEVELS))).provisions[0]

    for _ in range(MOST_LEVELS - 1):
        assert len(provision.exceptions) == 1
        assert provision.exceptions[0].permit != provision.permit
        provision = provision.exceptions[0]


@pytest.mark.parametrize("status", ["draft", "proposed", "rejected", "inactive", "entered-in-error"])
def test_one_that_is_not_active_is_stored_whatever_it_says_and_says_nothing(status: str) -> None:
    tree = {**root(modifierExtension=[{"url": "urn:x"}]), "status": status}

    assert refusals(tree, ZONE) == ()
    assert read(tree).provisions == ()


@pytest.mark.parametrize("scope", ["treatment", "adr"])
def test_a_consent_to_a_treatment_says_nothing_about_data(scope: str) -> None:
    assert directive({**root(), "scope": concept(coding(SCOPES, scope))}, ZONE) is None


def test_a_consent_to_research_is_about_research_alone() -> None:
    found = read({**root(), "scope": concept(coding(SCOPES, "research"))})

    assert found.provisions[0].terms.purposes == ("HRESCH",)
    assert (
        refusals(
            {**root(purpose=[coding(REASON, "CLINTRCH")]), "scope": concept(coding(SCOPES, "research"))}, ZONE
        )
        == ()
    )


@pytest.mark.parametrize(
    ("code", "permit"), [("OPTIN", True), ("OPTINR", True), ("OPTOUT", False), ("OPTOUTE", False)]
)
def test_a_root_without_type_is_what_the_policy_rule_opts_for(code: str, permit: bool) -> None:
    tree = {**consent({"period": {"start": "2024"}}), "policyRule": concept(coding(ACT_CODE, code))}

    assert read(tree).provisions[0].permit is permit


def test_a_regulation_as_policy_rule_leaves_the_root_as_it_is() -> None:
    rule = concept(coding("http://terminology.hl7.org/CodeSystem/consentpolicycodes", "hipaa-auth"))

    assert read({**root(), "policyRule": rule}).provisions[0].permit


def test_every_element_is_read_sorted_and_once() -> None:
    found = read(
        root(
            actor=[actor(refers("https://here.example/fhir/Organization/b")), actor(refers("Device/1"))],
            action=[concept(coding(ACTION_SYSTEM, "use")), concept(coding(ACTION_SYSTEM, "access"))],
            securityLabel=[coding(ACT_CODE, "PSY"), coding(CONFIDENTIALITY, "R"), coding(ACT_CODE, "PSY")],
            purpose=[coding(REASON, "TREAT"), coding("urn:fhir-server:purpose", "cross-border")],
            code=[concept(coding(LOINC, "1"), coding("http://snomed.info/sct", "2"))],
            dataPeriod={"start": "2024-01-01", "end": "2024-01-01"},
            data=[{"meaning": "dependents", "reference": refers("Patient/p")}],
            **{"class": [coding(RESOURCE_TYPE_SYSTEM, "Observation"), coding(LOINC, "34133-9")]},
        )
    ).provisions[0]

    assert found.terms.actors == (("Device/1", ""), ("Organization/b", ""))
    assert found.terms.actions == ("access", "use")
    assert found.terms.labels == ((ACT_CODE, "PSY"), (CONFIDENTIALITY, "R"))
    assert found.terms.purposes == ("TREAT", "cross-border")
    assert found.terms.codes == ((LOINC, "1"), ("http://snomed.info/sct", "2"))
    assert found.terms.classes == (("document", "34133-9"), ("type", "Observation"))
    assert found.terms.data == (("dependents", "Patient/"),)
    assert found.terms.period is not None
    assert found.terms.period[1] - found.terms.period[0] == DAY - 1


def test_a_role_needs_no_person_and_a_person_may_need_a_role() -> None:
    doctor = concept(coding("http://terminology.hl7.org/CodeSystem/practitioner-role", "doctor"))
    both = {"coding": [*doctor["coding"], *IRCP["coding"]]}

    found = read(
        root(actor=[actor({"display": "any doctor"}, doctor), actor(refers("Organization/b"), both)])
    )

    assert found.provisions[0].terms.actors == (("", "doctor"), ("Organization/b", "doctor"))


def test_a_nested_provision_of_the_same_kind_adds_to_the_one_around_it() -> None:
    found = read(
        root(
            purpose=[coding(REASON, "TREAT")],
            securityLabel=[coding(CONFIDENTIALITY, "N")],
            provision=[
                {
                    "type": "permit",
                    "securityLabel": [coding(CONFIDENTIALITY, "R")],
                    "actor": [actor(refers("Practitioner/1"))],
                },
                {"type": "deny", "securityLabel": [coding(ACT_CODE, "HIV")]},
            ],
        )
    )

    base, added = found.provisions
    assert base.terms.labels == ((CONFIDENTIALITY, "N"),)
    assert added.terms.labels == ((CONFIDENTIALITY, "R"),)
    assert added.terms.purposes == ("TREAT",)
    assert added.terms.actors == (("Practitioner/1", ""),)
    assert [each.terms.labels for each in added.exceptions] == [((ACT_CODE, "HIV"),)]
    assert added.path == "Consent.provision.provision[0]"


def test_an_addition_lives_no_longer_than_what_it_adds_to() -> None:
    found = read(
        root(
            period={"start": "2024", "end": "2024"},
            provision=[{"type": "permit", "period": {"start": "2020"}}],
        )
    )

    assert found.provisions[1].start == found.provisions[0].start
    assert found.provisions[1].end == found.provisions[0].end


def test_a_stored_one_that_cannot_be_understood_counts_as_a_refusal() -> None:
    tree = root(purpose=[coding("urn:x", "odd")])

    found = stored_directive(tree, ZONE)

    assert found is not None
    assert not found.is_readable
    assert [(each.permit, each.exceptions) for each in found.provisions] == [(False, ())]


def test_a_stored_one_that_is_understood_is_read() -> None:
    assert stored_directive(root(), ZONE) == directive(root(), ZONE)


def test_a_consent_is_never_newer_than_it_was_stored() -> None:
    found = read({**root(), "dateTime": "9999-12-31"})

    assert found.made == found.stored


def test_the_same_policy_of_the_same_organisation_is_the_same_matter() -> None:
    base = {**root(), "organization": [refers("Organization/a")]}
    other = {**base, "organization": [refers("https://here.example/fhir/Organization/a")]}

    assert read(base).policies == read(other).policies
    assert read(base).policies != read({**base, "policy": [{"uri": "urn:policy:2"}]}).policies
    assert read(base).policies != read(root()).policies


def test_without_a_policy_the_category_tells_matters_apart() -> None:
    tree = {key: value for key, value in root().items() if key != "policy"}
    release = {**tree, "category": [concept(coding(LOINC, "64292-6"))]}

    assert read(tree).policies != read(release).policies
    assert read(tree).policies == read({**tree, "dateTime": "2020"}).policies
