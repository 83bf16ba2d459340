"""The codec: digits and order kept, one spelling out, and every malformed body refused with a sentence."""

from __future__ import annotations

import json
from contextlib import suppress
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.faults import Fault, Kind
from fhir_server.resources.codec import decode, decode_patch, encode, id_of, identity, scan, with_meta

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**40), max_value=10**40)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | DECIMALS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=15,
)
TREES = st.dictionaries(TEXT, VALUES, max_size=5)


def refused(body: bytes, max_depth: int = 64) -> str:
    with pytest.raises(Fault) as caught:
        decode(body, max_depth=max_depth)
    assert caught.value.kind is Kind.SYNTAX
    return caught.value.diagnostics


@pytest.mark.parametrize(
    "number",
    [
        "1.10",
        "500.00",
        "0.0",
        "-0.10",
        "123456789012345678901234567890.5",
        "0.1234567890123456789012345678901",
    ],
)
def test_keeps_every_digit_of_a_decimal(number: str) -> None:
    body = b'{"value":' + number.encode() + b"}"

    assert encode(decode(body)) == body


def test_keeps_an_integer_too_big_for_a_double() -> None:
    assert decode(b'{"value":123456789012345678901234567890}') == {"value": 123456789012345678901234567890}


def test_gives_decimals_never_floats() -> None:
    tree = decode(b'{"a":1.5,"b":1e2,"c":7}')

    assert [type(value) for value in tree.values()] == [Decimal, Decimal, int]


def test_keeps_the_order_of_keys() -> None:
    assert list(decode(b'{"z":1,"a":2,"m":3}')) == ["z", "a", "m"]


def test_writes_without_spaces_and_in_utf8() -> None:
    assert encode(decode('{ "name" : [ "王\\u4e3d" ] }'.encode())) == '{"name":["王丽"]}'.encode()


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"", "empty"),
        (b" \n\t", "empty"),
        (b'\xef\xbb\xbf{"a":1}', "byte order mark"),
        (b'{"a":NaN}', "NaN"),
        (b'{"a":-Infinity}', "Infinity"),
        (b'{"a":"\\ud800"}', "surrogate"),
        (b'{"a":"\\ud800x"}', "surrogate"),
        (b'{"a":"\\udc00"}', "surrogate"),
        (b'{"a":"\xed\xa0\x80"}', "UTF-8 (byte 6)"),
        (b'{"a":"\xff"}', "UTF-8 (byte 6)"),
        ('{"a":1}'.encode("utf-16"), "UTF-8 (byte 0)"),
        (b'{"a":1} x', "trailing characters (byte 9)"),
        (b'{"a":1}{"a":1}', "trailing characters"),
        (b'{"a":1,}', "trailing comma"),
        (b"{'a':1}", "not well-formed"),
        (b'{"a":01}', "invalid number"),
        (b'{"a":"x', "truncated"),
        (b'{"a":"\x00"}', "invalid character"),
        (b"[]", "an array"),
        (b'"x"', "a string"),
        (b"null", "a literal"),
        (b"12", "a number"),
        (b"1.5", "a number"),
    ],
)
def test_refuses_malformed_bytes_and_says_why(body: bytes, word: str) -> None:
    assert word in refused(body)


@pytest.mark.parametrize(
    "number", [b"1" * 5_000, b"1." + b"1" * 5_000, b"1e5000", b"1e-5000", b"1e" + b"9" * 30]
)
def test_refuses_a_number_too_large_to_compute_with(number: bytes) -> None:
    assert refused(b'{"a":' + number + b"}").startswith("A number is too l")


def test_takes_a_whole_surrogate_pair() -> None:
    assert decode(b'{"a":"\\ud83d\\ude00"}') == {"a": "\U0001f600"}


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1,"a":1}',
        b'{"a" : 1, "a":2}',
        b'{"a":1,"\\u0061":2}',
        b'{"a":{"b":[{"c":1,"c":{}}]}}',
        b'{"n":[1,2,{"x":"\\":","x"\n:1}]}',
        b'{"d":1,"d":2,"s" :"\\":"}',
        b'{"d":1,"d":2,"s"\t:":"}',
        b'{"d":1,"d":2,"s"\r:":"}',
    ],
)
def test_refuses_duplicate_keys_at_any_level(body: bytes) -> None:
    assert "occurs twice" in refused(body)


@pytest.mark.parametrize(
    "body", [b'{"a":"\\":","b":{"a":1}}', b'{"a":":","b" : "x :"}', b'{"a":[{"b":1},{"b":1}]}']
)
def test_takes_strings_that_look_like_keys_and_equal_keys_of_different_objects(body: bytes) -> None:
    assert decode(body) == json.loads(body)


@given(TREES, st.data())
def test_never_overlooks_a_duplicate_key(tree: dict[str, object], data: st.DataObject) -> None:
    text = json.dumps(tree, default=str, separators=data.draw(st.sampled_from([(",", ":"), (", ", " : ")])))
    key = json.dumps(data.draw(st.sampled_from(sorted(tree)) if tree else st.just("a")))
    doubled = f"{{{key}:1,{key}:2}}" if not tree else f"{text[:-1]},{key}:null}}"

    assert "occurs twice" in refused(doubled.encode())


def test_refuses_nesting_beyond_the_limit_and_takes_the_limit_itself() -> None:
    assert "deeper than 4" in refused(b'{"a":{"a":{"a":{"a":{}}}}}', max_depth=4)
    assert scan(decode(b'{"a":{"a":{"a":{}}}}', max_depth=4)) == (3, 4)


@pytest.mark.parametrize("opening", [b'{"a":', b"[", b'{"a":['])
def test_refuses_ten_thousand_levels(opening: bytes) -> None:
    assert "deeper" in refused(opening * 10_000)


def test_refuses_deep_nesting_hidden_behind_a_duplicate_key() -> None:
    assert refused(b'{"a":' + b"[" * 900 + b"]" * 900 + b',"a":1}')


def test_patch_is_an_array_and_nothing_else() -> None:
    assert decode_patch(b'[{"op":"remove","path":"/a"}]') == [{"op": "remove", "path": "/a"}]
    with pytest.raises(Fault, match="one JSON array"):
        decode_patch(b'{"op":"remove","path":"/a"}')
    with pytest.raises(Fault, match="twice"):
        decode_patch(b'[{"op":"remove","op":"add"}]')


@given(TREES)
def test_decoding_undoes_encoding_to_the_digit(tree: dict[str, object]) -> None:
    again = decode(encode(tree))

    assert repr(again) == repr(tree) or again == tree
    assert encode(again) == encode(tree)


@given(st.binary(max_size=200))
def test_any_bytes_give_a_tree_or_a_fault(body: bytes) -> None:
    with suppress(Fault):
        assert type(decode(body)) is dict


@given(st.text('{}[]":,\\u0ad8e1.-+ \n', max_size=60))
def test_any_json_like_text_gives_a_tree_or_a_fault(text: str) -> None:
    try:
        tree = decode(text.encode())
    except Fault:
        return
    assert encode(decode(encode(tree))) == encode(tree)


def test_with_meta_puts_identity_first_and_keeps_the_rest() -> None:
    tree = {
        "meta": {"profile": ["p"], "lastUpdated": "old", "tag": [{"code": "x"}], "versionId": "9"},
        "active": True,
        "resourceType": "Patient",
        "id": "old",
        "_birthDate": {"id": "1"},
    }
    before = encode(tree)

    complete = with_meta(tree, "p1", 3, "2026-03-01T08:30:00.125Z")

    assert encode(complete) == (
        b'{"resourceType":"Patient","id":"p1","meta":{"versionId":"3","lastUpdated":"2026-03-01T08:30:00.125Z",'
        b'"profile":["p"],"tag":[{"code":"x"}]},"active":true,"_birthDate":{"id":"1"}}'
    )
    assert encode(tree) == before


def test_with_meta_refuses_a_meta_that_is_no_object() -> None:
    with pytest.raises(Fault) as caught:
        with_meta({"resourceType": "Patient", "meta": "x"}, "1", 1, "2026-03-01T08:30:00Z")

    assert caught.value.kind is Kind.UNPROCESSABLE
    assert caught.value.issues[0].expression == ("Patient.meta",)


def test_identity_reads_type_and_id_of_stored_bytes() -> None:
    body = encode(with_meta({"resourceType": "Basic"}, "a-1.b", 1, "2026-03-01T08:30:00Z"))

    assert identity(body) == ("Basic", "a-1.b")
    assert id_of(body) == "a-1.b"


@pytest.mark.parametrize("body", [b"", b"{}", b'{"id":"1","resourceType":"Basic","x":"y"}'])
def test_identity_refuses_bytes_that_are_not_stored_json(body: bytes) -> None:
    with pytest.raises(ValueError, match="canonical"):
        identity(body)
