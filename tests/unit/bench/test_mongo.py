"""The table of MongoDB's figures: what is counted, which aims are met; the page shows what was measured."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.bench.mongo import BEGIN, END, PAGE, RESULTS, replaced, results
from tests.mongo.proxy import Counted

CREATES, UPDATES = "bundle of 100 creates", "bundle of 100 updates"
COUNTED = {"read": Counted(1, 512, 2048), CREATES: Counted(5, 10_240, 1024), UPDATES: Counted(5, 1, 1)}


def row(told: dict[str, Any], figure: str) -> dict[str, Any]:
    [found] = [each for each in told["figures"] if each["figure"] == figure]
    return dict(found)


def made(cpu: float = 100.0, plain: int = 300) -> dict[str, Any]:
    spent = {"read": 1300.0, CREATES: cpu, UPDATES: cpu}
    return results(COUNTED, spent, Counted(plain, 1024, 1))


def test_counts_trips_and_bytes_of_each_operation() -> None:
    told = made()

    assert row(told, "read: round trips")["value"] == 1
    assert row(told, "read: sent")["value"] == 0.5
    assert row(told, "read: received")["value"] == 2
    assert row(told, "read: processor time of the server")["aim"] == ""


@pytest.mark.parametrize(("cpu", "met"), [(600.0, True), (601.0, False)])
def test_a_bundle_may_cost_so_much_processor_time_a_resource(cpu: float, met: bool) -> None:
    assert row(made(cpu), f"{CREATES}: processor time of the server")["met"] is met


@pytest.mark.parametrize(("plain", "met"), [(50, True), (49, False)])
def test_ten_times_fewer_round_trips_are_aimed_at(plain: int, met: bool) -> None:
    assert row(made(plain=plain), "round trips saved in a bundle")["met"] is met


def test_the_page_shows_what_was_measured_last() -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert replaced(page, json.loads(RESULTS.read_text(encoding="utf-8"))) == page


def test_what_misses_an_aim_stands_out() -> None:
    assert "| ≤ 600 | **no** |" in replaced(f"{BEGIN}{END}", made(601.0))


@pytest.mark.parametrize("page", ["", BEGIN, END, f"{END}{BEGIN}"])
def test_a_page_without_its_marks_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="needs the lines"):
        replaced(page, made())
