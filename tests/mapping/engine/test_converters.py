"""Converters: for every one, what was read is written back; and what each does with odd values."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stdnum.cn import ric
from stdnum.exceptions import ValidationError

from mappings.engine.codes import table_of
from mappings.engine.common import common_tables
from mappings.engine.converters import CONVERTERS, Use, chain, make
from mappings.engine.converters.base import Converter, Warned
from mappings.engine.converters.coded import by_table

OPTIONS: dict[str, list[dict[str, Any]]] = {
    "only": [{"values": ["1900-01-01", "0"]}],
    "map": [{"values": {"a": "x", "b": "y", "c": "x"}}, {"values": {"1": True, "0": False}}],
    "prefix": [{"add": "urn:"}],
    "date": [{}, {"layout": "yyyyMMdd"}, {"layout": "yyyy/MM/dd"}],
    "datetime": [
        {},
        {"layout": "yyyyMMddHHmmss"},
        {"layout": "yyyyMMddHHmmssSSS"},
        {"layout": "yyyy/MM/dd HH:mm"},
    ],
    "constant": [{"value": "x"}],
    "gender": [{}, {"write": "word"}],
    "integer": [{}, {"least": 1}],
    "scale": [{"digits": 2}, {"digits": -1}],
    "join": [{"count": 2}, {"count": 3, "by": "-"}],
    "bound": [{"which": "low"}, {"which": "high"}],
}
TABLES = common_tables()


def of(name: str, **options: Any) -> Converter:
    return make(name, options)


def plain(value: Any) -> Any:
    return value.value if isinstance(value, Warned) else value


def every() -> list[Any]:
    named = [
        pytest.param(make(name, options), id=f"{name} {options}")
        for name in CONVERTERS
        for options in OPTIONS.get(name, [{}])
    ]
    coded = [
        pytest.param(by_table(TABLES[name], form), id=f"{name} {form}")
        for name in TABLES
        for form in ("code", "coding", "concept")
        if form == "code" or TABLES[name].system
    ]
    return named + coded


# The bounds of a range are read one way: the text of the range is what is written back.
@pytest.mark.parametrize("converter", every())
@settings(max_examples=25)
@given(seed=st.integers(0, 2**32))
def test_what_was_read_is_written_back(converter: Converter, seed: int) -> None:
    native = converter.sample(Random(seed))
    fhir = plain(converter.read(native))

    if fhir is None:
        assert converter.name in {"measured", "unmeasured"}
        return
    assert converter.write(fhir) == native
    assert plain(converter.read(converter.write(fhir))) == fhir


@pytest.mark.parametrize("name", CONVERTERS)
@settings(max_examples=30)
@given(value=st.text(max_size=30).map(str.strip).filter(bool))
def test_no_text_breaks_a_converter(name: str, value: str) -> None:
    converter = make(name, OPTIONS.get(name, [{}])[0])
    given_ = (value, None, None)[: OPTIONS.get(name, [{}])[0].get("count", 2)] if converter.many else value
    told = ""
    try:
        fhir = plain(converter.read(given_))
        if fhir is not None:
            converter.write(fhir)
    except ValueError as error:
        told = str(error)
    assert told == "" or told.endswith(".")


@pytest.mark.parametrize("name", CONVERTERS)
@pytest.mark.parametrize(
    "value", [{}, [], {"a": 1}, 1, Decimal("1.5"), True, "x", {"value": "x"}, {"coding": []}]
)
def test_no_element_breaks_the_way_back(name: str, value: Any) -> None:
    converter = make(name, OPTIONS.get(name, [{}])[0])
    told = ""
    try:
        converter.write(value)
    except ValueError as error:
        told = str(error)
    assert told == "" or told.endswith(".")


def test_every_converter_stands_on_the_page() -> None:
    page = (Path(__file__).parents[3] / "docs" / "mappings.md").read_text(encoding="utf-8")

    assert [name for name in CONVERTERS if f"| `{name}` |" not in page] == []


def test_an_option_that_a_converter_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match="The option 'zzz' is not known here"):
        of("date", zzz=1)
    with pytest.raises(ValueError, match="is no converter"):
        of("dates")


@pytest.mark.parametrize(
    ("native", "fhir"),
    [
        ("2024-03-01", "2024-03-01"), ("20240301", "2024-03-01"),
        ("2024/3/1", "2024-03-01"), ("2024-03", "2024-03"),
        ("2024", "2024"), ("2024-03-01 00:00:00", "2024-03-01"), ("2024年3月1日", "2024-03-01"),
    ],
)  # fmt: skip
def test_a_date_is_read_in_every_usual_spelling(native: str, fhir: str) -> None:
    assert of("date").read(native) == fhir


@pytest.mark.parametrize(
    "native", ["2024-02-30", "2023-13-01", "0000-00-00", "x", "2024-03-01 08:00:00", "20240", "1"]
)
def test_what_is_no_date_of_the_calendar_is_refused(native: str) -> None:
    with pytest.raises(ValueError, match=r"\.$"):
        of("date").read(native)


def test_a_sentinel_means_no_date_in_every_spelling() -> None:
    converter = of("date", absent=["1900-01-01", "2120-12-31"])

    assert [converter.read(value) for value in ("1900-01-01", "19000101", "2120-12-31 00:00:00")] == [
        None
    ] * 3
    assert converter.read("1900-01-02") == "1900-01-02"


@pytest.mark.parametrize(
    ("native", "fhir"),
    [
        ("2024-03-01 08:30:00", "2024-03-01T08:30:00+08:00"),
        ("2024-03-01 08:30", "2024-03-01T08:30:00+08:00"),
        ("20240301083000", "2024-03-01T08:30:00+08:00"),
        ("20240301083000123", "2024-03-01T08:30:00.123+08:00"),
        ("2024-03-01", "2024-03-01"), ("2024-03-01T08:30:00Z", "2024-03-01T08:30:00Z"),
        ("2024-03-01T08:30:00+0900", "2024-03-01T08:30:00+09:00"),
    ],
)  # fmt: skip
def test_a_time_gets_the_zone_and_a_date_gets_no_time(native: str, fhir: str) -> None:
    assert of("datetime").read(native) == fhir


def test_a_moment_of_another_zone_is_written_in_the_own_one() -> None:
    assert of("datetime").write("2024-03-01T00:30:00Z") == "2024-03-01 08:30:00"
    assert of("datetime", layout="yyyyMMdd").write("2024-03-01T20:30:00Z") == "20240302"
    assert make("datetime", {"zone": "-05:30"}).write("2024-03-01T00:30:00Z") == "2024-02-29 19:00:00"
    with pytest.raises(ValueError, match="is no date"):
        of("datetime").write("soon")


def test_decimals_keep_their_digits() -> None:
    assert str(of("decimal").read("1.10")) == "1.10"
    assert of("decimal").write(Decimal("1.10")) == "1.10"
    assert of("decimal").write(Decimal("1E+2")) == "100"
    assert of("money").read("1200") == {"value": Decimal(1200), "currency": "CNY"}
    assert of("money").read("1,200.50")["value"] == Decimal("1200.50")


@pytest.mark.parametrize(
    "native", ["NaN", "Infinity", "1_0", "0x1", "1e9999", "9" * 50, "１２", "--1", "1.2.3", "元"]
)
def test_what_is_no_number_is_refused(native: str) -> None:
    with pytest.raises(ValueError, match="no number"):
        of("decimal").read(native)


def test_an_amount_in_another_currency_is_not_written() -> None:
    with pytest.raises(ValueError, match="not in CNY"):
        of("money").write({"value": Decimal(1), "currency": "USD"})


def test_an_integer_may_have_a_zero_fraction_and_no_other() -> None:
    assert of("integer").read("5.0") == 5
    for native in ("5.5", "1e30", "x"):
        with pytest.raises(ValueError, match="number"):
            of("integer").read(native)
    with pytest.raises(ValueError, match="less than 1"):
        of("integer", least=1).read("0")


@pytest.mark.parametrize("number", ["110101199003074259", "999999199003071234", "11010119900230123X"])
def test_an_identity_number_that_does_not_hold_warns_and_is_kept(number: str) -> None:
    read = of("cn-id").read(number)

    assert isinstance(read, Warned)
    assert read.value == number.upper()
    assert number not in read.sentence


def test_an_identity_number_that_holds_does_not_warn() -> None:
    number = "110101199003074258"
    assert ric.validate(number) == number
    assert of("cn-id").read(number) == number
    assert of("cn-id").read("110101900307425") == "110101900307425"


@given(
    st.sampled_from(["110101", "210202", "999999", "340100"]),
    st.integers(18_000_101, 20_251_231),
    st.integers(0, 9999),
)
def test_the_quick_check_of_identity_numbers_agrees_with_the_library(
    region: str, day: int, rest: int
) -> None:
    number = f"{region}{day}{rest:04}"
    for end in (number[17], ric.calc_check_digit(number)):
        try:
            holds = bool(ric.validate(number[:17] + end))
        except ValidationError:
            holds = False
        assert isinstance(of("cn-id").read(number[:17] + end), Warned) is not holds


def test_the_longest_known_prefix_stands_for_a_provincial_code_and_the_code_is_kept() -> None:
    table = table_of(
        "t", {"system": "http://x/t", "display": {"11": "在职", "1101": "职工"}, "prefix": "true"}
    )
    converter = by_table(table, "coding")

    coding = converter.read("110155")

    assert (coding["code"], coding["display"]) == ("1101", "职工")
    assert coding["extension"][0]["valueString"] == "110155"
    assert converter.write(coding) == "110155"


def test_an_unknown_code_warns_as_coding_and_is_an_error_as_code() -> None:
    table = table_of("t", {"system": "http://x/t", "map": {"1": "active"}})

    read = by_table(table, "coding").read("7")
    assert isinstance(read, Warned)
    assert read.value == {"system": "http://x/t", "code": "7"}
    with pytest.raises(ValueError, match="'7' is not in the table t"):
        by_table(table, "code").read("7")


def test_a_concept_keeps_the_native_code_beside_what_fhir_says() -> None:
    table = table_of(
        "t", {"system": "http://x/t", "display": {"10": "未婚"}, "target": "http://y", "map": {"10": "S"}}
    )
    converter = by_table(table, "concept")

    assert [coding["code"] for coding in converter.read("10")["coding"]] == ["10", "S"]
    assert converter.write({"coding": [{"system": "http://y", "code": "S"}]}) == "10"
    with pytest.raises(ValueError, match="No coding"):
        converter.write({"coding": [{"system": "http://z", "code": "S"}]})


def test_two_natives_of_one_code_are_written_as_the_first_or_as_back_says() -> None:
    data = {"map": {"1": "active", "5": "active"}}

    assert by_table(table_of("t", data), "code").write("active") == "1"
    assert by_table(table_of("t", {**data, "back": {"active": "5"}}), "code").write("active") == "5"
    with pytest.raises(ValueError, match="back"):
        table_of("t", {**data, "back": {"active": "6"}})


def test_raw_json_keeps_object_text_and_number_apart() -> None:
    converter = of("json")

    for native in ({"a": "1"}, '{"a":"1"}', "null", Decimal("1.10"), ["x"]):
        assert converter.write(converter.read(native)) == native


def test_joined_fields_come_apart_unless_one_holds_the_separator() -> None:
    converter = make("join", {"count": 3, "by": "-"})

    assert converter.read(("a", "b", None)) == "a-b"
    assert converter.write("a-b") == ("a", "b", None)
    for values in (("a-b", "c", None), ("a", None, "c"), ("a", "b-c", None)):
        with pytest.raises(ValueError, match=r"\.$"):
            converter.read(values)


def test_a_chain_runs_forwards_and_backwards_and_gathers_warnings() -> None:
    both = chain([of("prefix", add="1"), of("cn-id")])
    read = both.read("10101199003074259")

    assert isinstance(read, Warned)
    assert both.write(read.value) == "10101199003074259"
    assert chain([of("only", values=["a"]), of("date")]).read("b") is None


def test_a_use_makes_its_converter_for_a_zone() -> None:
    assert Use("datetime").make("+09:00").read("2024-03-01 08:30:00") == "2024-03-01T08:30:00+09:00"
