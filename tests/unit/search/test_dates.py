"""The span of a date. https://hl7.org/fhir/R4/search.html#date"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.search.dates import OPEN_END, OPEN_START, span

DAY = 86_400_000


def ms(moment: datetime) -> int:
    return int(moment.timestamp()) * 1000 + moment.microsecond // 1000


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("1970", 0, 365 * DAY - 1),
        ("1972", 730 * DAY, 1096 * DAY - 1),
        ("1970-02", 31 * DAY, 59 * DAY - 1),
        ("1970-12", 334 * DAY, 365 * DAY - 1),
        ("1970-01-02", DAY, 2 * DAY - 1),
        ("1970-01-01T01:00Z", 3_600_000, 3_659_999),
        ("1970-01-01T01:00:00Z", 3_600_000, 3_600_999),
        ("1970-01-01T01:00:00.1Z", 3_600_100, 3_600_199),
        ("1970-01-01T01:00:00.12Z", 3_600_120, 3_600_129),
        ("1970-01-01T01:00:00.123456789Z", 3_600_123, 3_600_123),
        ("1970-01-01T01:00:00+01:00", 0, 999),
        ("1969-12-31T19:00:00-05:00", 0, 999),
        ("1970-01-01T00:00:00", 0, 999),
    ],
)
def test_a_dates_precision_is_the_length_of_its_span(text: str, first: int, last: int) -> None:
    assert span(text, UTC) == (first, last)


def test_a_date_without_a_zone_is_of_the_servers_zone() -> None:
    shanghai = ZoneInfo("Asia/Shanghai")

    assert span("1970-01-01", shanghai) == (-8 * 3_600_000, 16 * 3_600_000 - 1)
    assert span("1970-01-01T00:00:00", shanghai)[0] == -8 * 3_600_000
    assert span("1970-01-01T00:00:00Z", shanghai)[0] == 0


def test_a_day_of_summer_time_has_the_hours_it_has() -> None:
    paris = ZoneInfo("Europe/Paris")

    for day, hours in (("2024-03-31", 23), ("2024-07-01", 24), ("2024-10-27", 25)):
        lo, hi = span(day, paris)
        assert hi - lo + 1 == hours * 3_600_000


def test_a_leap_second_counts_on() -> None:
    assert span("2016-12-31T23:59:60Z", UTC) == span("2017-01-01T00:00:00Z", UTC)


@pytest.mark.parametrize("zone", [UTC, ZoneInfo("Asia/Shanghai"), ZoneInfo("America/New_York")])
def test_the_first_and_the_last_year_have_spans(zone: ZoneInfo) -> None:
    edges = ("0001", "0001-01-01T00:00:00+14:00", "9999", "9999-12-31T23:59:60-14:00")

    for text in edges:
        lo, hi = span(text, zone)
        assert OPEN_START < lo < hi < OPEN_END


@pytest.mark.parametrize(
    "text",
    [
        "", "20", "202", "0000", "2024-13", "2024-00", "2023-02-29", "2024-02-30", "2024-2", "2024-02-29T10",
        "2024-02-29T24:00:00Z", "2024-02-29T10:60:00Z", "2024-02-29T10:00:61Z", "2024-02-29T10:00:00+15:00",
        "2024-02-29T10:00:00+14:30", "2024-02-29T10:00:00.Z", "2024-W01-1", "20240229", "2024-02-29Z",
        "２０２４",
        "2024-02-29T10:00:00Z ", "ge2024", "2024\n",
    ],
)  # fmt: skip
def test_what_is_no_date_has_no_span(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - that it is refused is all that is promised
        span(text, UTC)


MOMENTS = st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30))  # noqa: DTZ001 - zone below


@given(MOMENTS, st.integers(-14 * 60, 14 * 60))
def test_a_moment_lies_where_the_standard_library_puts_it(moment: datetime, minutes: int) -> None:
    zoned = moment.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=minutes)))

    assert span(zoned.isoformat(), UTC) == (ms(zoned), ms(zoned) + 999)


@given(MOMENTS, st.sampled_from([UTC, ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/Paris")]))
def test_a_coarser_date_holds_the_finer_one(moment: datetime, zone: ZoneInfo) -> None:
    text = moment.isoformat(timespec="milliseconds")

    spans = [span(text[:length], zone) for length in (4, 7, 10, 16, 19, 23)]

    assert all(a[0] <= b[0] <= b[1] <= a[1] for a, b in pairwise(spans))


@given(st.text(alphabet="0123456789-T:.Z+ x", max_size=30))
def test_any_text_has_a_span_or_is_refused(text: str) -> None:
    try:
        lo, hi = span(text, UTC)
    except ValueError:
        return
    assert OPEN_START < lo <= hi < OPEN_END
