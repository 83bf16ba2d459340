"""OperationOutcome bytes. https://hl7.org/fhir/R4/operationoutcome.html"""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from fhir_server.faults import Issue
from fhir_server.resources.outcome import all_ok, outcome

# Lone surrogates included: they must not make the outcome itself unwritable.
TEXT = st.text(st.characters(exclude_categories=()), max_size=40)


def test_writes_every_issue_in_order_compactly() -> None:
    issues = (Issue("error", "required", "Give a name.", ("Patient.name",)), Issue("warning", "value", "Hm."))

    assert outcome(issues) == (
        b'{"resourceType":"OperationOutcome","issue":['
        b'{"severity":"error","code":"required","diagnostics":"Give a name.","expression":["Patient.name"]},'
        b'{"severity":"warning","code":"value","diagnostics":"Hm."}]}'
    )


def test_leaves_out_empty_diagnostics_because_fhir_has_no_empty_strings() -> None:
    assert json.loads(outcome([Issue("error", "invalid", "")]))["issue"] == [
        {"severity": "error", "code": "invalid"}
    ]


def test_all_ok_is_one_informational_issue() -> None:
    (issue,) = json.loads(all_ok())["issue"]

    assert (issue["severity"], issue["code"]) == ("information", "informational")


@given(TEXT, TEXT)
def test_any_words_make_valid_json_without_control_characters(diagnostics: str, path: str) -> None:
    text = outcome([Issue("error", "invalid", diagnostics, (path,))]).decode("utf-8")

    tree = json.loads(text)
    words = tree["issue"][0].get("diagnostics", "") + tree["issue"][0]["expression"][0]
    assert not [c for c in words if ord(c) < 32 and c not in "\t\n\r"]


def test_chinese_words_pass_unchanged() -> None:
    assert "请给出姓名" in outcome([Issue("error", "required", "请给出姓名")]).decode()
