"""The examples that IHE Privacy Consent on FHIR publishes, told as facts: who may see which records.

https://profiles.ihe.net/ITI/PCF (basic, intermediate, advanced). Expectations are those of its example notes;
where this server decides otherwise the row says why. What a Consent leaves unsaid is denied here, as PCF's
implicit policy that an explicit Consent overrides: the house's policy is ``deny``.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from fhir_server.consent.asking import Asking
from fhir_server.consent.policy import ACT_CODE
from fhir_server.consent.source import refusals
from tests.consent.ruling import (
    Tree,
    actor,
    consent,
    data,
    deny,
    label,
    labelled,
    note,
    permit,
    purpose,
    sees,
)
from tests.consent.wishes import ZONE, coding, refers

TPO = purpose("TREAT", "HPAYMT", "HOPERAT")
NURSE = Asking(organization="Organization/b", purpose="TREAT")
DOCTOR = Asking(organization="Organization/b", user="Practitioner/ex", purpose="TREAT")
PAYER = Asking(organization="Organization/b", purpose="HPAYMT")
RESEARCHER = Asking(organization="Organization/research", purpose="HRESCH")
EMERGENCY = Asking(organization="Organization/b", purpose="BTG")

NORMAL = labelled("N", id="normal")
RESTRICTED = labelled("R", id="restricted")
PSYCHIATRIC = note(id="psychiatric", meta={"security": [*label("R"), *label("PSY", system=ACT_CODE)]})
SEXUAL = note(id="sexual", meta={"security": [*label("R"), *label("SEX", system=ACT_CODE)]})
OF_2022 = note(id="of2022", effectiveDateTime="2022-06-13")
OF_2021 = note(id="of2021", effectiveDateTime="2021-06-13")
BY_DOCTOR = note(id="bydoctor", performer=[refers("Practitioner/ex")])
IN_ENCOUNTER = note(id="inencounter", encounter=refers("Encounter/ex"))
YEAR = {"start": "2022-01", "end": "2022-12"}
ANY = (NORMAL, RESTRICTED)


@dataclass(frozen=True)
class Example:
    """One published example: its root, and pairs of (asker, record) that are permitted, and that are not."""

    root: Tree
    permitted: tuple[tuple[Asking, Tree], ...] = ()
    denied: tuple[tuple[Asking, Tree], ...] = ()


def pairs(asking: Asking, *records: Tree) -> tuple[tuple[Asking, Tree], ...]:
    return tuple((asking, each) for each in records)


EXAMPLES = {
    "basic: treatment, payment, operations": Example(
        permit(purpose=TPO), (*pairs(NURSE, *ANY), *pairs(PAYER, *ANY)), pairs(RESEARCHER, *ANY)
    ),
    "basic: rejected": Example(deny(purpose=TPO), (), (*pairs(NURSE, *ANY), *pairs(PAYER, *ANY))),
    "basic: expired": Example(permit(purpose=TPO, period={"end": "2022-12-31"}), (), pairs(NURSE, *ANY)),
    "intermediate: data of 2022": Example(
        permit(purpose=TPO, dataPeriod=YEAR), pairs(NURSE, OF_2022), pairs(NURSE, OF_2021)
    ),
    "intermediate: not data of 2022": Example(
        permit(deny(dataPeriod=YEAR), purpose=TPO), pairs(NURSE, OF_2021), pairs(NURSE, OF_2022)
    ),
    "intermediate: by one author": Example(
        permit(purpose=TPO, data=data("authoredby", "Practitioner/ex")),
        pairs(NURSE, BY_DOCTOR),
        pairs(NURSE, NORMAL),
    ),
    "intermediate: not by one author": Example(
        permit(deny(data=data("authoredby", "Practitioner/ex")), purpose=TPO),
        pairs(NURSE, NORMAL),
        pairs(NURSE, BY_DOCTOR),
    ),
    "intermediate: one encounter": Example(
        permit(purpose=TPO, data=data("related", "Encounter/ex")),
        pairs(NURSE, IN_ENCOUNTER, note("Encounter", id="ex")),
        pairs(NURSE, NORMAL),
    ),
    "intermediate: not one encounter": Example(
        permit(deny(data=data("related", "Encounter/ex")), purpose=TPO),
        pairs(NURSE, NORMAL),
        pairs(NURSE, IN_ENCOUNTER, note("Encounter", id="ex")),
    ),
    "intermediate: listed records": Example(
        permit(
            purpose=TPO,
            data=[*data("instance", "Observation/normal"), *data("instance", "Observation/of2022")],
        ),
        pairs(NURSE, NORMAL, OF_2022),
        pairs(NURSE, OF_2021),
    ),
    "intermediate: not a listed record": Example(
        permit(deny(data=data("instance", "Observation/restricted")), purpose=TPO),
        pairs(NURSE, NORMAL),
        pairs(NURSE, RESTRICTED),
    ),
    "intermediate: nobody but in an emergency": Example(
        deny(permit(purpose=purpose("BTG"))),
        pairs(EMERGENCY, *ANY),
        (*pairs(NURSE, *ANY), *pairs(PAYER, *ANY)),
    ),
    "intermediate: one project's research": Example(
        permit(purpose=purpose("HRESCH"), actor=actor("Organization/research")),
        pairs(RESEARCHER, *ANY),
        pairs(NURSE, *ANY),
    ),
    "advanced: normal": Example(
        permit(purpose=TPO, securityLabel=label("N")),
        pairs(NURSE, NORMAL),
        pairs(NURSE, RESTRICTED, PSYCHIATRIC),
    ),
    "advanced: normal and restricted": Example(
        permit(purpose=TPO, securityLabel=label("N", "R")),
        pairs(NURSE, NORMAL, RESTRICTED),
        pairs(NURSE, labelled("V")),
    ),
    "advanced: normal, not restricted": Example(
        permit(deny(securityLabel=label("R")), purpose=TPO, securityLabel=label("N")),
        pairs(NURSE, NORMAL),
        pairs(NURSE, RESTRICTED),
    ),
    "advanced: restricted for one practitioner": Example(
        permit(
            permit(securityLabel=label("R"), actor=actor("Practitioner/ex")),
            purpose=TPO,
            securityLabel=label("N"),
        ),
        (*pairs(DOCTOR, NORMAL, RESTRICTED), *pairs(NURSE, NORMAL)),
        pairs(NURSE, RESTRICTED),
    ),
    "advanced: mental health for one practitioner": Example(
        permit(
            permit(securityLabel=label("PSY", system=ACT_CODE), actor=actor("Practitioner/ex")),
            purpose=TPO,
            securityLabel=label("N"),
        ),
        pairs(DOCTOR, NORMAL, PSYCHIATRIC),
        (*pairs(DOCTOR, SEXUAL, RESTRICTED), *pairs(NURSE, PSYCHIATRIC)),
    ),
    "advanced: mental or sexual health for one practitioner": Example(
        permit(
            permit(securityLabel=label("PSY", "SEX", system=ACT_CODE), actor=actor("Practitioner/ex")),
            purpose=TPO,
            securityLabel=label("N"),
        ),
        pairs(DOCTOR, NORMAL, PSYCHIATRIC, SEXUAL),
        (*pairs(DOCTOR, RESTRICTED), *pairs(NURSE, SEXUAL)),
    ),
    "advanced: restricted in an emergency": Example(
        permit(
            permit(securityLabel=label("R"), purpose=purpose("BTG")), purpose=TPO, securityLabel=label("N")
        ),
        (*pairs(EMERGENCY, NORMAL, RESTRICTED), *pairs(NURSE, NORMAL)),
        pairs(NURSE, RESTRICTED),
    ),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_published_example_permits_and_denies_what_its_notes_say(name: str) -> None:
    example = EXAMPLES[name]

    assert refusals(consent(example.root), ZONE) == ()
    for asking, record in example.permitted:
        assert sees(example.root, record, asking, overarching="deny"), record["id"]
    for asking, record in example.denied:
        assert not sees(example.root, record, asking, overarching="deny"), record["id"]


@pytest.mark.parametrize(
    "name", [name for name in EXAMPLES if "expired" not in name and "research" not in name]
)
def test_under_the_default_policy_an_example_denies_the_same_for_treatment(name: str) -> None:
    """A Consent that speaks to the asker leaves nothing to silence."""
    example = EXAMPLES[name]

    for asking, record in example.denied:
        assert not sees(example.root, record, asking), record["id"]


def test_the_example_with_a_purpose_of_its_own_code_system_is_refused_with_advice() -> None:
    """PCF's project FooBar: a purpose that is not listed cannot be recognised in a request."""
    tree = consent(permit(purpose=[coding("http://example.org/policies/purposeOfUse", "FooBar")]))

    (issue,) = refusals(tree, ZONE)

    assert issue.expression == ("Consent.provision.purpose[0]",)
