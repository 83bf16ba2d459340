"""Keys agree between extracts: one way of writing days, moments, numbers and codes."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.his.normal import day, moment, normal, number, whole
from mappings.his.tables import TYPES, recognise, schema


@pytest.mark.parametrize(
    "written",
    [
        "2024-01-05", "2024/1/5", "20240105", "2024.01.05", "2024年1月5日", "2024-01-05 00:00:00",
        "2024-01-05 00:00:00.000", "2024-1-5 0:00", "2024-01-05T00:00:00", "20240105000000",
    ],
)  # fmt: skip
def test_a_day_has_one_way_of_being_written(written: str) -> None:
    assert day(written) == "2024-01-05"


@pytest.mark.parametrize(
    "written",
    [
        "2024-01-05 08:30:00",
        "2024/1/5 8:30",
        "20240105083000",
        "2024-01-05T08:30:00.000",
        "2024年1月5日 8时30分",
    ],
)
def test_a_moment_has_one_way_of_being_written(written: str) -> None:
    assert moment(written) == "2024-01-05 08:30:00"


@pytest.mark.parametrize("odd", ["05-JAN-24", "24-1-5", "unknown", "2024", "2024-01", "1/5/2024"])
def test_what_may_mean_two_days_stays_as_it_is(odd: str) -> None:
    assert day(odd) == odd
    assert moment(odd) == odd


def test_a_time_is_never_lost_nor_made_up() -> None:
    assert day("2024-01-05 08:30:00") == "2024-01-05 08:30:00"
    assert moment("2024/1/5") == "2024-01-05"
    assert moment("2024-01-05 08:30:00.120") == "2024-01-05 08:30:00.120"


@given(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2100, 1, 1)))  # noqa: DTZ001 - tables have none
def test_canonical_moments_stay_themselves(value: datetime) -> None:
    written = value.strftime("%Y-%m-%d %H:%M:%S")

    assert moment(written) == written
    assert moment(value.strftime("%Y/%m/%d %H:%M:%S")) == written
    assert day(value.strftime("%Y%m%d")) == written[:10]


@given(st.integers(min_value=-(10**9), max_value=10**9))
def test_whole_numbers_lose_zeros_and_points_only(value: int) -> None:
    assert whole(str(value)) == str(value)
    assert whole(f"{value}.0") == str(value)
    assert whole(f"{value:012d}") == str(value)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**8), max_value=10**8))
def test_decimals_keep_their_digits(value: Decimal) -> None:
    written = f"{value:f}"

    assert number(written) == written
    assert number(f"￥{value:,f}") == written


@pytest.mark.parametrize(
    ("written", "meant"),
    [(".5", "0.5"), ("-.5", "-0.5"), ("5.", "5"), ("+5.10", "5.10"), ("1,234.50", "1234.50")],
)
def test_oracle_and_spreadsheet_numbers_are_numbers(written: str, meant: str) -> None:
    assert number(written) == meant


@pytest.mark.parametrize("odd", ["免费", ".", "-", "1.2.3", "3月", "65岁"])
def test_what_is_no_number_stays_as_it_is(odd: str) -> None:
    assert number(odd) == odd
    assert whole(odd) == odd


def test_only_typed_columns_are_written_anew() -> None:
    table = schema("junwei")["OUTP_BILL_ITEMS"]
    row = {
        "VISIT_DATE": "2024/1/5",
        "VISIT_NO": "003",
        "ITEM_NAME": "１号 2024/1/5",
        "ITEM_CODE": "Ａ０１",
        "AMOUNT": "．５",
    }
    normal(row, table)

    assert row == {
        "VISIT_DATE": "2024-01-05",
        "VISIT_NO": "3",
        "ITEM_NAME": "１号 2024/1/5",
        "ITEM_CODE": "A01",
        "AMOUNT": "0.5",
    }


@pytest.mark.parametrize("name", ["junwei", "hsa"])
def test_the_definitions_hold(name: str) -> None:
    for table in schema(name).values():
        assert set(table.key) <= table.columns.keys()
        assert {column.type for column in table.columns.values()} <= TYPES
        titles = [column.title for column in table.columns.values()]
        assert len(set(titles)) == len(titles), table.name
        assert table.canonical(titles) == list(table.columns)


def test_an_unknown_schema_is_an_error() -> None:
    with pytest.raises(KeyError):
        schema("none")


def test_a_header_of_two_tables_alike_is_not_guessed() -> None:
    tables = schema("junwei")

    assert recognise(tables, "x.csv", ["PATIENT_ID", "VISIT_ID"]) is None
    assert recognise(tables, "x.csv", []) is None
    assert recognise(tables, "x.csv", ["foo", "bar", "DEPT_CODE"]) is None
    alone = {"DEPT_DICT": tables["DEPT_DICT"]}
    assert recognise(alone, "x.csv", ["DEPT_CODE", "DEPT_NAME"]) is alone["DEPT_DICT"]
    assert recognise(alone, "x.csv", ["PATIENT_ID"]) is None
