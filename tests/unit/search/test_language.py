"""The whole search language on a few records: what each way of asking finds, and what it leaves.

https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

import pytest

from fhir_server.search.match import Catalog
from fhir_server.search.visibility import Visibility
from tests.unit.search.records import ASKED, RECORDS, meant

CATALOG = Catalog(RECORDS)
ALL = Visibility.everything("test")


def found(type_: str, name: str, value: str) -> list[str]:
    return CATALOG.matching(ALL, type_, meant(type_, name, value))


@pytest.mark.parametrize(("type_", "name", "value", "ids"), ASKED)
def test_each_way_of_asking_finds_and_leaves(type_: str, name: str, value: str, ids: str) -> None:
    assert found(type_, name, value) == ids.split()


def test_both_ends_of_a_value_set_share_out_all_records() -> None:
    inside, outside = (found("Observation", f"code:{name}", "http://vs/lab") for name in ("in", "not-in"))

    assert sorted(inside + outside) == sorted(found("Observation", "_lastUpdated:missing", "true"))
