"""Reading a message: what is built, what is left over, what is told; duplicates, identities, the archive."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import replace
from hashlib import sha256
from typing import Any

from mappings.engine.model import Context, Message, Result
from mappings.engine.run import read, read_all
from tests.mapping.engine.demo import CONTEXT, enrolment, enrolment_message, message, small


def resources(result: Result) -> list[dict[str, Any]]:
    return [entry["resource"] for entry in result.bundle["entry"]]


def patient(fields: str, **tree: Any) -> tuple[dict[str, Any], Result]:
    result = read(small(fields), message(**tree), CONTEXT)
    return resources(result)[0], result


def left(result: Result) -> dict[str, int]:
    return {one.path: one.count for one in result.unmapped}


def test_the_worked_example_is_read() -> None:
    result = read(enrolment(), enrolment_message(), CONTEXT)
    person, first, second = resources(result)

    assert (result.bundle["resourceType"], result.bundle["type"]) == ("Bundle", "transaction")
    assert (person["gender"], person["birthDate"], person["name"]) == (
        "female",
        "1998-01-01",
        [{"text": "测试甲"}],
    )
    assert {one["value"] for one in person["identifier"]} == {"P1", "999999199801010041"}
    assert (first["status"], second["status"]) == ("active", "cancelled")
    assert first["period"] == {"start": "2019-07-01"}
    assert "period" not in second
    assert str(first["extension"][0]["valueMoney"]["value"]) == "12.50"
    assert first["payor"] == [
        {
            "type": "Organization",
            "identifier": {"system": "urn:oid:2.16.156.10011.2.3.3.2", "value": "330100"},
        }
    ]
    assert first["beneficiary"]["reference"] == result.bundle["entry"][0]["fullUrl"]


def test_updates_are_conditional_on_the_business_identity() -> None:
    requests = [entry["request"] for entry in read(enrolment(), enrolment_message(), CONTEXT).bundle["entry"]]

    assert [one["method"] for one in requests] == ["PUT"] * 3
    assert requests[1]["url"] == "Coverage?identifier=https://demo.example/h1/enrolment%7CP1/310"


def test_another_sender_has_other_numbers() -> None:
    one, other = (
        read(enrolment(), enrolment_message(), replace(CONTEXT, source=source)).bundle["entry"][0]
        for source in ("h1", "h2")
    )

    assert one["fullUrl"] != other["fullUrl"]
    assert one["request"]["url"] != other["request"]["url"]


def test_a_message_read_twice_gives_the_same_bundle() -> None:
    assert read(enrolment(), enrolment_message(), CONTEXT) == read(enrolment(), enrolment_message(), CONTEXT)


def test_an_object_stands_for_a_list_of_one() -> None:
    sent = enrolment_message()
    single = replace(sent, tree={**sent.tree, "insuinfo": sent.tree["insuinfo"][0]})
    listed = replace(sent, tree={**sent.tree, "insuinfo": sent.tree["insuinfo"][:1]})

    assert read(enrolment(), single, CONTEXT) == read(enrolment(), listed, CONTEXT)
    wrapped = replace(sent, tree={**sent.tree, "baseinfo": [sent.tree["baseinfo"]]})
    assert resources(read(enrolment(), wrapped, CONTEXT))[0]["name"] == [{"text": "测试甲"}]


def test_every_field_that_nothing_carries_is_listed_and_no_other() -> None:
    sent = enrolment_message(naty="01", blank="  ", nothing=None, age=21)
    sent.tree["insuinfo"][0]["emp_name"] = "x"
    sent.tree["insuinfo"][1]["emp_name"] = "y"
    sent.tree["extra"] = {"deep": {"deeper": 1}, "list": [1, 2], "empty": []}

    result = read(enrolment(), sent, CONTEXT)

    assert left(result) == {
        "baseinfo.naty": 1, "insuinfo.emp_name": 2, "extra.deep.deeper": 1, "extra.list": 2,
    }  # fmt: skip


def test_a_row_whose_condition_does_not_hold_is_left_over_whole() -> None:
    sent = enrolment_message()
    sent.tree["insuinfo"][1]["insutype"] = "510"

    result = read(enrolment(), sent, CONTEXT)

    assert len(resources(result)) == 2
    assert set(left(result)) == {
        "insuinfo.insutype", "insuinfo.psn_insu_stas", "insuinfo.psn_insu_date", "insuinfo.balc",
    }  # fmt: skip


def test_a_condition_chooses_the_element_and_else_the_field_is_left_over() -> None:
    passport = read(enrolment(), enrolment_message(psn_cert_type="03", certno="E1"), CONTEXT)
    unknown = read(enrolment(), enrolment_message(psn_cert_type="77", certno="E1"), CONTEXT)

    assert resources(passport)[0]["identifier"][1]["system"] == "http://hl7.org/fhir/sid/passport-CHN"
    assert left(passport) == {}
    assert left(unknown) == {"baseinfo.certno": 1, "baseinfo.psn_cert_type": 1}


def test_a_value_that_does_not_convert_is_told_and_left_over_and_the_rest_is_made() -> None:
    result = read(enrolment(), enrolment_message(brdy="1998-02-30"), CONTEXT)

    assert "birthDate" not in resources(result)[0]
    assert left(result) == {"baseinfo.brdy": 1}
    [issue] = [one for one in result.issues if one.severity == "error"]
    assert issue.where == "file:1 baseinfo.brdy"
    assert "1998" not in issue.sentence


def test_an_identity_number_that_does_not_hold_warns_and_is_kept() -> None:
    result = read(enrolment(), enrolment_message(certno="999999199801010042"), CONTEXT)

    assert [one.severity for one in result.issues] == ["warning"]
    assert "9999" not in result.issues[0].sentence
    assert resources(result)[0]["identifier"][1]["value"] == "999999199801010042"


def test_a_resource_without_identity_is_left_out_and_told() -> None:
    result = read(enrolment(), enrolment_message(psn_no=""), CONTEXT)

    assert resources(result) == []
    assert [one.where for one in result.issues] == ["file:1 patient", "file:1 coverage", "file:1 coverage"]
    assert "has no identity (baseinfo.psn_no)" in result.issues[0].sentence


def test_numbers_and_booleans_are_text_and_lists_are_no_single_value() -> None:
    made, result = patient("{from: a, to: gender}, {from: b, to: language}", a=5, b=True)
    assert (made["gender"], made["language"]) == ("5", "true")

    made, result = patient("{from: a, to: gender}", a=["x", "y"])
    assert "gender" not in made
    assert left(result) == {"a": 2}


def test_the_first_of_two_fields_fills_an_element_and_the_other_is_left_over_when_it_differs() -> None:
    fields = "{from: a, to: gender}, {from: b, to: gender}"

    assert patient(fields, b="x")[0]["gender"] == "x"
    made, result = patient(fields, a="x", b="x")
    assert (made["gender"], left(result)) == ("x", {})
    made, result = patient(fields, a="x", b="y")
    assert (made["gender"], left(result)) == ("x", {"b": 1})


def test_a_default_stands_where_the_source_has_nothing() -> None:
    assert patient("{from: a, to: gender, default: unknown}")[0]["gender"] == "unknown"
    assert patient("{from: a, to: gender, default: unknown}", a="male")[0]["gender"] == "male"


def test_a_pair_that_only_writes_does_not_read() -> None:
    made, result = patient("{from: a, to: gender, one-way: {write: the other side needs it}}", a="x")

    assert "gender" not in made
    assert left(result) == {"a": 1}


def test_what_a_selector_says_is_there_only_with_a_value() -> None:
    fields = (
        "{from: a, to: 'telecom[system=phone,use=home].value'}, "
        "{from: b, to: 'telecom[system=phone,use=work].value'}"
    )

    assert patient(fields, b="2")[0]["telecom"] == [{"system": "phone", "use": "work", "value": "2"}]
    assert "telecom" not in patient(fields)[0]
    assert len(patient(fields, a="1", b="2")[0]["telecom"]) == 2


def test_a_constant_within_an_element_that_pairs_fill_is_there_only_with_a_value() -> None:
    head = (
        "    constants: {'contact[0].gender': male, 'communication[0].preferred': true, active: true, "
        "meta: {tag: [{code: x}]}}\n"
    )
    map_ = small("{from: a, to: 'contact[0].name.text'}", head)

    bare, full = (resources(read(map_, message(**tree), CONTEXT))[0] for tree in ({}, {"a": "n"}))
    assert "contact" not in bare
    assert full["contact"] == [{"gender": "male", "name": {"text": "n"}}]
    assert bare["communication"] == full["communication"] == [{"preferred": True}]
    assert (bare["active"], bare["meta"]) == (True, {"tag": [{"code": "x"}]})


def test_a_selector_and_a_pair_may_fill_the_same_element() -> None:
    fields = "{from: a, to: 'contact[relationship=other#N].relationship.text'}"
    map_ = small(fields.replace("contact", "link"))

    made = resources(read(map_, message(a="x"), CONTEXT))[0]
    assert made["link"][0]["relationship"] == {
        "coding": [{"system": "https://demo.example/other", "code": "N"}],
        "text": "x",
    }


ROWS = """{for-each: rows, into: contact, when: {rows.kind: k}, fields: [
  {from: $row, to: extension('extra').valueInteger, convert: integer},
  {from: rows.name, to: name.text}, {from: no, to: gender},
  {for-each: rows.phones, into: telecom, fields: [
    {from: rows.phones.p, to: value}, {from: rows.name, to: system}]}]}"""


def test_a_group_makes_an_element_of_each_row_and_of_the_rows_in_it() -> None:
    rows = [
        {"kind": "k", "name": "a", "phones": [{"p": "1"}, {"p": "2", "q": "x"}]},
        {"kind": "other", "name": "b"},
        {"kind": "k", "name": "c", "phones": {"p": "3"}},
    ]
    made, result = patient(ROWS, rows=rows)

    assert [one["name"]["text"] for one in made["contact"]] == ["a", "c"]
    assert [one["extension"][0]["valueInteger"] for one in made["contact"]] == [1, 3]
    assert [phone["value"] for one in made["contact"] for phone in one["telecom"]] == ["1", "2", "3"]
    assert left(result) == {"rows.kind": 1, "rows.name": 1, "rows.phones.q": 1}
    assert "contact" not in patient(ROWS)[0]


def test_envelope_and_context_are_sources_too() -> None:
    map_ = small(
        "{from: $parameters.code, to: gender}, {from: $context.area, to: language}, "
        "{from: $context.zone, to: id}"
    )
    sent = replace(message(), parameters={"code": "c"})

    made = resources(read(map_, sent, replace(CONTEXT, values={"area": "a"})))[0]
    assert (made["gender"], made["language"], made["id"]) == ("c", "a", "+08:00")


OTHERS = """
  - {id: org, type: Organization, by: refer, identity: [{system: other, from: org}]}
  - {id: doctor, type: Practitioner, by: create, identity: [{system: other, from: doctor}],
     fields: [{from: doctor_name, to: "name[0].text"}]}
"""
LINKS = "{to: managingOrganization, link: org}, {to: 'generalPractitioner[0]', link: doctor}"


def test_links_follow_how_the_target_reaches_the_server() -> None:
    result = read(small(LINKS, OTHERS), message(org="O", doctor="D", doctor_name="n"), CONTEXT)
    first, second = result.bundle["entry"]

    assert first["resource"]["managingOrganization"] == {
        "reference": "Organization?identifier=https://demo.example/other%7CO"
    }
    assert first["resource"]["generalPractitioner"] == [{"reference": second["fullUrl"]}]
    assert second["request"] == {
        "method": "POST", "url": "Practitioner", "ifNoneExist": "identifier=https://demo.example/other%7CD",
    }  # fmt: skip
    assert left(result) == {}


def test_a_link_to_what_is_not_there_is_left_out() -> None:
    made = resources(read(small(LINKS, OTHERS), message(), CONTEXT))[0]

    assert not made.keys() & {"managingOrganization", "generalPractitioner"}


def test_rows_of_a_table_that_name_the_same_resource_give_one_entry() -> None:
    map_ = small(LINKS + ", {from: name, to: gender}", OTHERS, per="row")
    rows = [
        message(no="1", name="a", doctor="D", doctor_name="n"),
        message(no="2", name="b", doctor="D", doctor_name="m"),
        message(no="1", name="c", doctor="D", doctor_name="n"),
    ]
    result = read_all(map_, rows, CONTEXT)

    assert [one.get("gender") or one["name"][0]["text"] for one in resources(result)] == ["c", "n", "b"]
    assert [(one.code, one.severity) for one in result.issues] == [("duplicate", "information")] * 2


def test_a_columns_name_may_hold_dots_and_blanks() -> None:
    map_ = small("{from: 'Pat. Name', to: gender}", per="row")

    assert resources(read(map_, message(**{"Pat. Name": "x"}), CONTEXT))[0]["gender"] == "x"


def test_the_original_is_archived_with_its_digest_and_what_was_made_of_it() -> None:
    original = '{"a":"测"}'.encode()
    sent = replace(enrolment_message(), raw=original)
    context = Context(
        source="h1", now="2026-03-01T00:00:00Z", media_type="application/json", organization=("s", "v")
    )
    entries = read(enrolment(), sent, context).bundle["entry"]
    binary, document, provenance = (entry["resource"] for entry in entries[-3:])

    assert b64decode(binary["data"]) == original
    assert binary["id"] == sha256(original).hexdigest() == document["identifier"][0]["value"]
    assert binary["securityContext"]["reference"] == entries[-2]["fullUrl"]
    assert document["content"][0]["attachment"]["url"] == entries[-3]["fullUrl"]
    assert document["content"][0]["attachment"]["size"] == len(original)
    assert document["subject"]["reference"] == entries[0]["fullUrl"]
    assert [one["reference"] for one in provenance["target"]] == [entry["fullUrl"] for entry in entries[:-3]]
    assert provenance["agent"][1]["who"]["identifier"] == {"system": "s", "value": "v"}


def test_without_original_or_without_result_nothing_is_archived() -> None:
    context = replace(CONTEXT, archive=True)

    assert len(resources(read(enrolment(), replace(enrolment_message(), raw=b""), context))) == 3
    assert resources(read(enrolment(), enrolment_message(psn_no=""), context)) == []


def test_hostile_shapes_are_told_or_left_over_but_never_break() -> None:
    for tree in ({"baseinfo": "x"}, {"baseinfo": [1]}, {"insuinfo": "x"}, {"insuinfo": [[1], "x", {}]}, {}):
        result = read(enrolment(), Message("1101", {"baseinfo": {"psn_no": "1"}, **tree}), CONTEXT)
        assert result.bundle["type"] == "transaction"
