"""docs/consent.md says what holds: its example, its limits and its lists."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

from fhir_server.consent.asking import Asking
from fhir_server.consent.combine import MOST_SLICES
from fhir_server.consent.policy import ACT_CODE, policy
from fhir_server.consent.provisions import MOST_LEVELS, MOST_PROVISIONS, MOST_VALUES
from fhir_server.consent.source import refusals
from fhir_server.consent.templates import templates
from tests.consent.ruling import consent, labelled, sees
from tests.consent.wishes import ZONE

PAGE = (Path(__file__).parents[2] / "docs" / "consent.md").read_text(encoding="utf-8")
EXAMPLE = json.loads(re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)[0])
PSYCHIATRIC = labelled("PSY", system=ACT_CODE)


def test_the_example_can_be_filed() -> None:
    assert refusals(consent(EXAMPLE), ZONE) == ()


def test_the_example_does_what_the_page_says() -> None:
    doctor = Asking(organization="Organization/b", roles=frozenset({"doctor"}), purpose="TREAT")

    assert sees(EXAMPLE, PSYCHIATRIC, doctor)
    assert not sees(EXAMPLE, PSYCHIATRIC, replace(doctor, roles=frozenset()))
    assert not sees(EXAMPLE, PSYCHIATRIC, replace(doctor, organization="Organization/c"))
    assert sees(EXAMPLE, labelled(), replace(doctor, organization="Organization/c"))


def test_the_page_tells_the_limits() -> None:
    told = " ".join(PAGE.split())

    assert f"more than {MOST_LEVELS} levels, {MOST_PROVISIONS} provisions, {MOST_VALUES:,} codes" in told
    assert f"{MOST_SLICES} boundaries of time" in told


def test_the_page_tells_which_roles_and_rules_are_understood() -> None:
    for code in {*policy().policy_rules, *(each for codes in policy().recipients.values() for each in codes)}:
        assert f"`{code}`" in PAGE
    assert all(each in PAGE for each in policy().standing | policy().contexts)


def test_the_page_lists_every_template_with_its_words_and_parameters() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| (.+?) \| (.+?) \| (.+?) \|$", PAGE, re.MULTILINE)
    listed = {code: (zh, en, set(re.findall(r"`([a-z-]+)`", named))) for code, zh, en, named in rows}
    common = {"start", "end", "document", "verified-with"}

    assert all(f"`{each}`" in PAGE for each in common)
    assert {code: listed.get(code) for code in templates()} == {
        code: (each.zh, each.en, each.parameters.keys() - common) for code, each in templates().items()
    }
