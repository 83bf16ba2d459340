"""The way back: rows found by anchors and links, contradictions told, and what has no place listed."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from mappings.engine.model import Context, Issue, Message, Refused, Written
from mappings.engine.run import read, read_all
from mappings.engine.write import write
from tests.mapping.engine.demo import CONTEXT, enrolment, enrolment_message, message, small
from tests.mapping.engine.test_reading import LINKS, OTHERS, ROWS

PLAIN = Context(source="h1", archive=False)


def bundle() -> dict[str, Any]:
    return deepcopy(read(enrolment(), enrolment_message(), CONTEXT).bundle)


def problems(written: Written) -> list[str]:
    return [issue.sentence for issue in written.issues if issue.severity != "information"]


def lost(written: Written) -> list[str]:
    return [issue.where for issue in written.issues if issue.code == "not-supported"]


def test_the_worked_example_is_written_as_it_was_read() -> None:
    written = write(enrolment(), bundle(), CONTEXT)

    [native] = written.messages
    sent = enrolment_message().tree
    # 1900-01-01 stands for "no date", and no date is what is written.
    del sent["insuinfo"][1]["psn_insu_date"]
    assert (native.kind, native.direction, native.tree) == ("1101", "response", sent)
    assert written.issues == []


def test_a_bundle_of_a_server_is_written_as_well_with_its_own_addresses() -> None:
    stored = bundle()
    urls = {
        entry["fullUrl"]: f"{entry['resource']['resourceType']}/{n}"
        for n, entry in enumerate(stored["entry"])
    }
    for entry in stored["entry"]:
        entry["resource"]["id"] = urls[entry["fullUrl"]].partition("/")[2]
        entry["resource"]["meta"] = {"versionId": "3", "lastUpdated": "2026-03-01T00:00:00Z"}
        entry["fullUrl"] = f"http://server/fhir/{urls[entry['fullUrl']]}"
        beneficiary = entry["resource"].get("beneficiary")
        if beneficiary:
            beneficiary["reference"] = urls[beneficiary["reference"]]

    written = write(enrolment(), stored, CONTEXT)

    assert written.issues == []
    assert written.messages[0].tree == write(enrolment(), bundle(), CONTEXT).messages[0].tree


def test_the_order_of_entries_does_not_matter_but_for_the_rows() -> None:
    turned = bundle()
    turned["entry"] = turned["entry"][::-1]

    native = write(enrolment(), turned, CONTEXT).messages[0].tree
    assert [row["insutype"] for row in native["insuinfo"]] == ["390", "310"]
    assert native["baseinfo"]["psn_no"] == "P1"


def test_an_element_without_a_place_is_listed() -> None:
    changed = bundle()
    person = changed["entry"][0]["resource"]
    person["maritalStatus"] = {"text": "x"}
    person["name"].append({"text": "second"})
    person["identifier"].append({"system": "http://elsewhere", "value": "7"})

    assert lost(write(enrolment(), changed, CONTEXT)) == [
        "Patient.identifier.system", "Patient.identifier.value", "Patient.maritalStatus", "Patient.name.text",
    ]  # fmt: skip


def test_a_resource_without_a_place_is_listed_and_the_archive_is_not() -> None:
    changed = read(enrolment(), enrolment_message(), replace(CONTEXT, archive=True)).bundle
    changed["entry"].append({"resource": {"resourceType": "Observation", "status": "final"}})

    written = write(enrolment(), changed, CONTEXT)
    assert lost(written) == ["Observation"]
    assert problems(written) == []


def test_two_elements_that_contradict_each_other_are_told_and_the_first_counts() -> None:
    changed = bundle()
    changed["entry"][0]["resource"]["gender"] = "male"

    written = write(enrolment(), changed, CONTEXT)
    assert written.messages[0].tree["baseinfo"]["gend"] == "2"
    assert "says otherwise" in problems(written)[0]


def test_two_elements_that_agree_are_not_told_however_coarse_one_is() -> None:
    for code in ("0", "9"):
        made = read(enrolment(), enrolment_message(gend=code), CONTEXT).bundle
        written = write(enrolment(), made, CONTEXT)
        assert written.messages[0].tree["baseinfo"]["gend"] == code
        assert written.issues == []


def test_the_coarse_element_alone_is_written_too() -> None:
    changed = bundle()
    del changed["entry"][0]["resource"]["extension"]

    assert write(enrolment(), changed, CONTEXT).messages[0].tree["baseinfo"]["gend"] == "2"


def test_a_condition_with_one_value_says_what_its_field_is() -> None:
    made = read(enrolment(), enrolment_message(psn_cert_type="03", certno="E1"), CONTEXT).bundle

    native = write(enrolment(), made, CONTEXT).messages[0].tree
    assert (native["baseinfo"]["psn_cert_type"], native["baseinfo"]["certno"]) == ("03", "E1")


def test_a_value_that_cannot_be_written_is_told_and_the_rest_is_written() -> None:
    changed = bundle()
    changed["entry"][0]["resource"]["birthDate"] = "soon"

    written = write(enrolment(), changed, CONTEXT)
    assert "is no date" in problems(written)[0]
    assert "brdy" not in written.messages[0].tree["baseinfo"]
    assert written.messages[0].tree["baseinfo"]["psn_name"] == "测试甲"


def test_of_several_patients_the_first_is_taken_and_that_is_told() -> None:
    changed = bundle()
    other = deepcopy(changed["entry"][0])
    other["fullUrl"] = "urn:uuid:other"
    other["resource"]["identifier"][0]["value"] = "P2"
    changed["entry"].append(other)

    written = write(enrolment(), changed, CONTEXT)
    assert written.messages[0].tree["baseinfo"]["psn_no"] == "P1"
    assert any("2 resources of the Bundle match" in sentence for sentence in problems(written))


def test_what_references_name_is_written_without_the_resources() -> None:
    map_ = small(LINKS, OTHERS)
    made = read(map_, message(org="O", doctor="D", doctor_name="n"), CONTEXT).bundle

    assert write(map_, made, CONTEXT).messages[0].tree == {
        "no": "1",
        "org": "O",
        "doctor": "D",
        "doctor_name": "n",
    }
    person = made["entry"][0]["resource"]
    person["generalPractitioner"] = [{"identifier": {"system": "https://demo.example/other", "value": "E"}}]
    assert write(map_, person, CONTEXT).messages[0].tree == {"no": "1", "org": "O", "doctor": "E"}


def test_a_reference_that_tells_nothing_is_told() -> None:
    map_ = small(LINKS, OTHERS)
    person = read(map_, message(), CONTEXT).bundle["entry"][0]["resource"]
    person["generalPractitioner"] = [{"reference": "Practitioner/77"}]

    assert "is not in the Bundle" in problems(write(map_, person, CONTEXT))[0]


def test_rows_of_a_table_become_messages_of_their_own() -> None:
    map_ = small(LINKS + ", {from: name, to: gender}", OTHERS, per="row")
    rows = [message(no=str(n), name=f"n{n}", doctor="D", doctor_name="d") for n in range(5)]

    written = write(map_, read_all(map_, rows, CONTEXT).bundle, CONTEXT)
    assert [one.tree for one in written.messages] == [one.tree for one in rows]
    assert written.issues == []


def test_groups_become_rows_and_rows_in_them() -> None:
    map_ = small(ROWS)
    rows = [
        {"kind": "k", "name": "a", "phones": [{"p": "1"}, {"p": "2"}]},
        {"kind": "k", "name": "c", "phones": [{"p": "3"}]},
    ]
    made = read(map_, message(rows=rows), CONTEXT).bundle

    assert write(map_, made, CONTEXT).messages[0].tree == {"no": "1", "rows": rows}


def test_a_hostile_row_number_makes_no_rows_without_end() -> None:
    map_ = small(ROWS)
    made = read(map_, message(rows=[{"kind": "k", "name": "a"}]), CONTEXT).bundle
    made["entry"][0]["resource"]["contact"][0]["extension"][0]["valueInteger"] = 10**12

    assert len(write(map_, made, CONTEXT).messages[0].tree["rows"]) == 1


@pytest.mark.parametrize("found", [None, [], "x", {}, {"resourceType": 1},
                                   {"resourceType": "Bundle", "entry": "x"},
                                   {"resourceType": "Bundle", "entry": [{"resource": "x"}]}])  # fmt: skip
def test_what_is_no_bundle_is_refused(found: Any) -> None:
    with pytest.raises(Refused):
        write(enrolment(), found, PLAIN)


def test_a_bundle_with_nothing_for_the_map_gives_no_message_and_says_so() -> None:
    for found in (
        {"resourceType": "Bundle"},
        {"resourceType": "Bundle", "entry": [{}]},
        {"resourceType": "Patient"},
    ):
        written = write(enrolment(), found, PLAIN)
        assert written.messages == []
        assert written.issues[0].severity == "error"


def test_hostile_elements_are_told_and_never_break() -> None:
    for value in (
        None,
        "x",
        1,
        [],
        {},
        [None],
        [[1]],
        {"reference": 1},
        {"identifier": "x"},
        [{"coding": "x"}],
    ):
        changed = bundle()
        for name in ("name", "gender", "birthDate", "extension"):
            changed["entry"][0]["resource"][name] = value
        for name in ("beneficiary", "payor", "period", "status"):
            changed["entry"][1]["resource"][name] = value
        written = write(enrolment(), changed, CONTEXT)
        assert all(isinstance(one, Message) for one in written.messages)
        assert all(isinstance(one, Issue) for one in written.issues)
