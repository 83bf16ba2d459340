"""Verdicts in words, in both languages, for every reason and element."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import get_args

import pytest

from fhir_server.consent.explain import Language, describe, explain
from fhir_server.consent.plain import Ground, Reason, Verdict
from fhir_server.consent.policy import ACT_CODE, policy
from fhir_server.consent.provisions import ACTION_SYSTEM, LOINC, RESOURCE_TYPE_SYSTEM
from fhir_server.consent.source import directive
from tests.consent.wishes import PARTICIPATION, REASON, ZONE, coding, concept, consent, refers

WORDS = json.loads((files("conformance") / "policies" / "consent-words.json").read_bytes())
FULL = consent(
    {
        "type": "permit",
        "provision": [
            {
                "type": "deny",
                "period": {"start": "2024-01-01", "end": "2024-12-31"},
                "actor": [
                    {"role": concept(coding(PARTICIPATION, "IRCP")), "reference": refers("Organization/b")}
                ],
                "action": [concept(coding(ACTION_SYSTEM, "disclose"))],
                "securityLabel": [coding(ACT_CODE, "HIV")],
                "purpose": [coding(REASON, "HRESCH"), coding(REASON, "COC")],
                "class": [coding(RESOURCE_TYPE_SYSTEM, "Observation")],
                "code": [concept(coding(LOINC, "1-8"))],
                "dataPeriod": {"end": "2020"},
                "data": [{"meaning": "dependents", "reference": refers("Patient/p")}],
            }
        ],
    }
)
FOUND = directive(FULL, ZONE)


def verdict(reason: Reason, *, permit: bool) -> Verdict:
    assert FOUND is not None
    return Verdict(permit, reason, (Ground(FOUND, FOUND.provisions[0].exceptions[0]),))


@pytest.mark.parametrize("language", get_args(Language))
@pytest.mark.parametrize("reason", get_args(Reason))
def test_every_reason_is_a_sentence_of_its_own(reason: Reason, language: Language) -> None:
    text = explain(Verdict(permit=False, reason=reason), language)

    assert text.startswith(WORDS[language]["outcome"]["deny"])
    assert text.endswith(WORDS[language]["stop"])
    others = [each for each in get_args(Reason) if each != reason]
    assert all(explain(Verdict(permit=False, reason=each), language) != text for each in others)


def test_a_permission_and_a_denial_differ() -> None:
    assert explain(verdict("provision", permit=True), "en").startswith("Permitted: ")
    assert explain(verdict("provision", permit=False), "zh").startswith("拒绝：")


def test_the_consent_its_version_and_the_provision_are_named() -> None:
    text = explain(verdict("provision", permit=False), "en")

    assert "Consent/1/_history/1, Consent.provision.provision[0]: denies " in text


def test_one_ground_is_told_once() -> None:
    assert FOUND is not None
    ground = Ground(FOUND, FOUND.provisions[0])

    assert explain(Verdict(True, "provision", (ground, ground)), "en").count("Consent/1") == 1


def test_silence_tells_the_house_s_policy() -> None:
    texts = {
        explain(Verdict(permit=False, reason="silence"), "en", each)
        for each in ("treatment", "permit", "deny")
    }

    assert len(texts) == 3


@pytest.mark.parametrize(
    ("language", "parts"),
    [
        (
            "en",
            [
                "denies to Organization/b",
                "to do: disclose",
                "for COC or research (HRESCH)",
                "labelled HIV and AIDS (HIV)",
                "of the kind Observation",
                "about http://loinc.org|1-8",
                "dated … to 2020-12-31T15:59:59.999Z",
                "what refers to the patient",
                "valid 2023-12-31T16:00:00.000Z to",
            ],
        ),
        (
            "zh",
            [
                "不同意",
                "对象 Organization/b",
                "用途 COC、科研 (HRESCH)",
                "标签 艾滋病 (HIV)",
                "引用它的记录 患者本人",
                "有效期",
            ],
        ),
    ],
)
def test_every_element_is_in_the_words(language: Language, parts: list[str]) -> None:
    assert FOUND is not None
    text = describe(FOUND.provisions[0].exceptions[0], language)

    assert all(each in text for each in parts), text


def test_a_provision_without_conditions_is_about_everything() -> None:
    assert FOUND is not None

    assert describe(FOUND.provisions[0], "en") == "permits everything"


def test_both_languages_have_the_same_words() -> None:
    zh, en = WORDS["zh"], WORDS["en"]

    assert zh.keys() == en.keys()
    assert all(zh[key].keys() == en[key].keys() for key in zh if isinstance(zh[key], dict))
    assert set(policy().actions) <= set(zh["codes"])
    assert {code for each in policy().ordered.values() for code in each.order} <= set(zh["codes"])
