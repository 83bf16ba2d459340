"""Messages in and out: whatever style they come in, and whatever is wrong with them."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.engine.model import Issue, Message
from mappings.nhsa import codec
from mappings.nhsa.parse import MAX_BYTES
from mappings.nhsa.style import Style, style_of
from tests.mapping.nhsa.messages import FORMAT, unlike, whole_message

REQUEST = {
    "infno": "2204",
    "msgid": "H99999900001202601010900001234",
    "mdtrtarea_admvs": "999900",
    "insuplc_admdvs": "999901",
    "recer_sys_code": "FSI_LOCAL",
    "infver": "1.0.0",
    "opter_type": "1",
    "opter": "7",
    "opter_name": "测试",
    "inf_time": "2026-01-01 09:00:00",
    "fixmedins_code": "H99999900001",
    "fixmedins_name": "测试医院",
    "input": {"feedetail": [{"feedetl_sn": "1", "mdtrt_id": "77", "psn_no": "9", "cnt": 2, "pric": 1.10}]},
}
ANSWER = {
    "infcode": 0,
    "inf_refmsgid": "9" * 30,
    "refmsg_time": "20260101090000000",
    "respond_time": "20260101090000100",
    "output": {"data": {"mdtrt_id": "77", "psn_no": "9", "ipt_otp_no": "5"}},
}
Tree = dict[str, Any]


def read(value: Any, **options: str) -> list[Message | Issue]:
    raw = value if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False).encode()
    return list(codec.split(raw, {"where": "file", **options}))


def message(value: Any, **options: str) -> Message:
    [found] = [item for item in read(value, **options) if isinstance(item, Message)]
    return found


def issues(value: Any, *severities: str, **options: str) -> list[Issue]:
    found = [item for item in read(value, **options) if isinstance(item, Issue)]
    return [issue for issue in found if not severities or issue.severity in severities]


def with_input(data: Any) -> Tree:
    return {**REQUEST, "input": data}


def test_reads_a_request_with_its_envelope() -> None:
    found = message(REQUEST)

    assert (found.kind, found.direction) == ("2204", "request")
    assert found.parameters["mdtrtarea_admvs"] == "999900"
    assert found.parameters["insuplc_admdvs"] == "999901"
    assert found.tree["feedetail"][0]["feedetl_sn"] == "1"


def test_keeps_the_digits_of_numbers() -> None:
    raw = json.dumps(REQUEST).replace('"pric": 1.1', '"pric": 1.10').encode()

    assert message(raw).tree["feedetail"][0]["pric"] == "1.10"
    assert b'"pric":1.10' in codec.render(message(raw), None, {})


@pytest.mark.parametrize("row", [{"cnt": 2}, {"cnt": "2"}, {"cnt": "02"}, {"cnt": "+2"}, {"cnt": " 2 "}])
def test_reads_numbers_and_texts_alike(row: Tree) -> None:
    assert message(with_input({"feedetail": [row]})).tree["feedetail"] == [{"cnt": "2"}]


@pytest.mark.parametrize("value", ["two", "1,5", "0x10", "NaN", True, "١"])
def test_reports_what_is_no_number_without_quoting_it(value: Any) -> None:
    [issue] = issues(with_input({"feedetail": [{"feedetl_sn": "1", "cnt": value}]}), "error")

    assert issue.where == "file feedetail[0].cnt"
    assert "is not a number" in issue.sentence
    assert str(value) not in issue.sentence.replace("not a", "")


def test_reads_one_row_sent_as_an_object_as_a_list() -> None:
    row = {"feedetl_sn": "1"}

    assert message(with_input({"feedetail": row})).tree == message(with_input({"feedetail": [row]})).tree


def test_reports_several_rows_where_one_is_expected() -> None:
    value = {**REQUEST, "infno": "2207", "input": {"data": [{"psn_no": "1"}, {"psn_no": "2"}]}}

    [issue] = issues(value, "error")
    assert issue.code == "structure"
    assert "2 were sent" in issue.sentence


@pytest.mark.parametrize("empty", [None, ""])
def test_counts_null_and_blank_as_absent(empty: Any) -> None:
    assert message(with_input({"feedetail": [{"feedetl_sn": "1", "rxno": empty}]})).tree == {
        "feedetail": [{"feedetl_sn": "1"}]
    }


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (None, None),
        ('{"a":1}', '{"a":1}'),
        ({"a": 1, "b": "1.50", "c": [1.5]}, '{"a":1,"b":"1.50","c":[1.5]}'),
    ],
)
def test_keeps_an_extension_that_is_null_text_or_object(sent: Any, kept: str | None) -> None:
    data = {"data": {"psn_no": "1", "exp_content": sent}}
    assert message({**REQUEST, "infno": "2206", "input": data}).tree["data"].get("exp_content") == kept


def test_writes_an_extension_as_an_object_where_the_sender_did() -> None:
    data = {"data": {"psn_no": "1", "exp_content": {"dise_reim_mon": "", "n": 1}}}
    found = message({**REQUEST, "infno": "2206A", "input": data})

    assert json.loads(codec.render(found, None, {}))["input"] == data


def test_reads_business_data_that_is_json_text() -> None:
    value = {**ANSWER, "output": json.dumps(ANSWER["output"])}

    found = message(value, kind="2201")
    assert found.tree == ANSWER["output"]
    assert isinstance(json.loads(codec.render(found, None, {}))["output"], str)


def test_reads_a_bare_list_as_the_rows_of_a_query() -> None:
    value = {**ANSWER, "output": [{"mdtrt_id": "77", "feedetl_sn": "1", "cnt": 1}]}

    assert message(value, kind="5204").tree == {"data": [{"mdtrt_id": "77", "feedetl_sn": "1", "cnt": "1"}]}


@pytest.mark.parametrize("infcode", [0, "0"])
def test_takes_infcode_as_number_or_text(infcode: Any) -> None:
    assert issues({**ANSWER, "infcode": infcode}, "warning", "error", kind="2201") == []
    assert message({**ANSWER, "infcode": infcode}, kind="2201").parameters["infcode"] == "0"


def test_tells_a_refusal_of_the_platform_without_its_words() -> None:
    refused = {**ANSWER, "infcode": -1, "err_msg": "参保人张三不存在", "output": None}

    [issue] = issues(refused, "warning", kind="2201")
    assert "infcode -1" in issue.sentence
    assert "张三" not in issue.sentence
    assert message(refused, kind="2201").parameters["err_msg"] == "参保人张三不存在"


def test_tells_a_refusal_of_the_gateway() -> None:
    [issue] = issues({"code": 401, "message": "signature"}, "error")

    assert "gateway refused with code '401'" in issue.sentence


def test_tells_what_is_no_message() -> None:
    [issue] = issues({"hello": "world"}, "error")

    assert "Neither a request" in issue.sentence


def test_an_answer_takes_its_transaction_from_the_request_beside_it() -> None:
    asked = {**REQUEST, "infno": "2201", "input": {"data": {"psn_no": "9"}}}
    found = [each for each in read({"request": asked, "response": ANSWER}) if isinstance(each, Message)]

    assert [(each.kind, each.direction) for each in found] == [("2201", "request"), ("2201", "response")]
    assert found[1].parameters["fixmedins_code"] == "H99999900001"
    assert found[1].parameters["psn_no"] == "9"
    assert "fixmedins_code" not in json.loads(codec.render(found[1], None, {}))


def test_an_answer_takes_its_transaction_from_the_files_name() -> None:
    assert message(ANSWER, where="answers/2201_response.json").kind == "2201"


def test_an_answer_is_known_by_blocks_that_one_transaction_has() -> None:
    value = {**ANSWER, "output": {"cuminfo": [{"insutype": "310", "cum": 1}]}}

    assert message(value).kind == "5206"


def test_an_answer_that_fits_several_transactions_asks_for_the_kind() -> None:
    value = {**ANSWER, "output": {"setlinfo": {}, "setldetail": []}}

    [issue] = issues(value, "error")
    assert "2206, 2207" in issue.sentence
    assert "Give the option kind" in issue.sentence


def test_says_which_spelling_of_the_two_areas_is_read() -> None:
    value = {name: member for name, member in REQUEST.items() if name != "mdtrtarea_admvs"}

    [issue] = issues({**value, "mdtrtarea_admdvs": "999900"}, "warning")
    assert "spelled mdtrtarea_admvs" in issue.sentence


def test_reads_an_unknown_transaction_untyped_with_a_warning() -> None:
    value = {**REQUEST, "infno": "9999", "input": {"data": {"a": 1}}}

    assert message(value).tree == {"data": '{"a":1}'}
    assert "not described" in issues(value, "warning")[0].sentence


def test_tells_fields_that_are_too_long_and_required_ones_that_lack() -> None:
    value = with_input({"feedetail": [{"feedetl_sn": "1" * 31}, {"feedetl_sn": "2"}]})

    assert [issue.where for issue in issues(value, "warning")] == ["file feedetail[0].feedetl_sn"]
    [missing] = [issue for issue in issues(value, "information") if "feedetail" in issue.where]
    assert "requires mdtrt_id, psn_no" in missing.sentence


def test_tells_numbers_with_too_many_digits() -> None:
    assert issues(with_input({"feedetail": [{"cnt": "1" * 17}]}), "warning") != []
    assert issues(with_input({"feedetail": [{"cnt": "1" * 12 + ".1234"}]}), "warning") == []


def test_parts_a_check_of_several_stays_into_messages() -> None:
    stays = [{"mdtrt_id": "1"}, {"mdtrt_id": "2"}]
    patients = [{"patn_id": "a", "fsi_encounter_dtos": stays}, {"patn_id": "b"}]
    value = {**REQUEST, "infno": "3101", "input": {"data": {"trig_scen": "1", "patient_dtos": patients}}}

    found = [item.tree["data"]["patient_dtos"] for item in read(value) if isinstance(item, Message)]
    assert found == [
        [{"patn_id": "a", "fsi_encounter_dtos": [{"mdtrt_id": "1"}]}],
        [{"patn_id": "a", "fsi_encounter_dtos": [{"mdtrt_id": "2"}]}],
        [{"patn_id": "b"}],
    ]


def test_reads_many_messages_of_a_file_and_reports_the_bad_one() -> None:
    good = json.dumps({**REQUEST, "msgid": "1"}), json.dumps({**REQUEST, "msgid": "2"})
    raw = f"{good[0]}\n{{broken\n{good[1]}\n".encode()

    found = read(raw)
    assert [item.parameters["msgid"] for item in found if isinstance(item, Message)] == ["1", "2"]
    assert [item.where for item in found if isinstance(item, Issue) and item.severity == "error"] == [
        "file:2:1:2"
    ]


def test_reads_an_array_up_to_its_fault() -> None:
    raw = f"[{json.dumps(REQUEST)}, {json.dumps(REQUEST)[:-1]}".encode()

    found = read(raw)
    assert len([item for item in found if isinstance(item, Message)]) == 1
    assert [item.code for item in found if isinstance(item, Issue) and item.severity == "error"] == [
        "structure"
    ]


def test_reports_a_message_that_comes_twice() -> None:
    [issue] = issues([REQUEST, REQUEST], "warning")

    assert issue.code == "duplicate"


@pytest.mark.parametrize(
    ("raw", "words", "where"),
    [
        (b'{"infcode":0,"err_msg":null,}', "comma", "file:1:29"),
        (b'{"infcode":0,\n"output":{"da', "truncated", "file:2:"),
        (b'{"infcode":0,\n "output": {"data": ', "truncated", "file:2:"),
        (b'{"infcode":0} trailing', "More text follows", "file:1:15"),
        (b'{"infno": "1101", "infno": "1102"}', "stands twice", "file"),
        (b'{"infno": "1101", "input": {"data": {"cnt": NaN}}}', "not a JSON number", "file"),
        (b'{"infno": "1101", "input": {"data": {"psn_name": "\\ud800"}}}', "surrogate", "file"),
        (b"[" * 100_000, "nested too deeply", "file"),
        (b'{"infno":"1101","input":' + b'{"a":' * 100_000, "nested too deeply", "file"),
        (b"", "empty", "file"),
        (b"<xml/>", "breaks off", "file:1:1"),
        (b'"text"', "breaks off", "file"),
        (b"\xff\xfe{\x00", "neither UTF-8 nor GB18030", "file: byte 0"),
    ],
)
def test_refuses_what_cannot_be_read_and_says_where(raw: bytes, words: str, where: str) -> None:
    [issue] = issues(raw, "error", "fatal")

    assert words in issue.sentence
    assert issue.where.startswith(where)
    assert not [item for item in read(raw) if isinstance(item, Message)]


def test_refuses_what_is_too_large_unread() -> None:
    [issue] = issues(b" " * (MAX_BYTES + 1), "fatal")

    assert issue.code == "too-long"


def test_understands_gb18030_with_a_warning() -> None:
    raw = json.dumps(REQUEST, ensure_ascii=False).encode("gb18030")

    assert message(raw).parameters["fixmedins_name"] == "测试医院"
    assert "GB18030" in issues(raw, "warning")[0].sentence


def test_takes_a_byte_order_mark() -> None:
    assert message(b"\xef\xbb\xbf" + json.dumps(REQUEST).encode()).kind == "2204"


def test_writes_a_request_in_the_specifications_order_with_what_lacks() -> None:
    written = json.loads(
        codec.render(Message("2208", {"data": {"setl_id": "1"}}, direction="request"), None, {"opter": "7"})
    )

    assert list(written)[:4] == ["infno", "msgid", "mdtrtarea_admvs", "insuplc_admdvs"]
    assert (written["infno"], written["opter"], written["sign_no"]) == ("2208", "7", "")
    assert written["input"] == {"data": {"setl_id": "1"}}


@pytest.mark.parametrize(
    ("style", "row"),
    [
        (Style(), {"data": {"ver": "1"}}),
        (Style(empty="null"), {"data": {"page_num": None}}),
        (Style(empty="blank"), {"data": {"page_num": ""}}),
        (Style(empty="zero"), {"data": {"page_num": "0", "ver": "1"}}),
    ],
)
def test_writes_what_is_empty_as_the_style_says(style: Style, row: Tree) -> None:
    written = json.loads(
        codec.render(Message("1304", {"data": {"ver": "1"}}, direction="request"), style, {})
    )

    assert row["data"].items() <= written["input"]["data"].items()
    assert ("page_num" in written["input"]["data"]) is (style.empty != "omit")


def test_refuses_a_style_with_an_unknown_habit() -> None:
    with pytest.raises(ValueError, match="colour"):
        style_of({"colour": "red"})


STYLES = st.builds(
    Style,
    numbers=st.sampled_from(["number", "text"]),
    empty=st.sampled_from(["omit", "null", "blank"]),
    single=st.sampled_from(["list", "object"]),
    expansion=st.sampled_from(["text", "object"]),
    output=st.sampled_from(["object", "text"]),
)


@given(
    st.sampled_from([each for each in unlike(FORMAT.maps()) if each.direction]), STYLES, st.integers(0, 2**32)
)
def test_every_message_reads_the_same_in_every_style(map_: Any, style: Style, seed: int) -> None:
    sent = whole_message(map_, Random(seed))

    back = message(codec.render(sent, style, {}), kind=sent.kind)
    assert back.tree == read_again(sent)


def read_again(sent: Message) -> Tree:
    """Return a message's tree as it reads when it is written plainly: numbers in their usual form."""
    return message(codec.render(sent, Style(numbers="text"), {}), kind=sent.kind).tree


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_never_raises_whatever_the_bytes(raw: bytes) -> None:
    assert all(isinstance(item, Message | Issue) for item in read(raw))
