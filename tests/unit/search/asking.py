"""Short words for what the tests of parsing ask: the search, its predicate, its one test, its refusal."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from fhir_server.faults import Fault
from fhir_server.search.parse import Options, Search, parse
from fhir_server.search.predicate import Predicate, Where

ZONE = ZoneInfo("Asia/Shanghai")
NOW = 1_700_000_000_000
OPTIONS = Options(ZONE, NOW, base="http://me/fhir")


def search(type_: str, *pairs: tuple[str, str], **options: Any) -> Search:
    return parse(type_, pairs, replace(OPTIONS, **options))


def where(type_: str, name: str, value: str, **options: Any) -> Predicate:
    return search(type_, (name, value), **options).query.where


def asked(type_: str, name: str, value: str, **options: Any) -> Any:
    """Return the test of a search that comes to one."""
    predicate = where(type_, name, value, **options)
    assert isinstance(predicate, Where)
    return predicate.test


def refusal(type_: str, *pairs: tuple[str, str], **options: Any) -> Fault:
    with pytest.raises(Fault) as caught:
        search(type_, *pairs, **options)
    return caught.value


def outcome(type_: str, *pairs: tuple[str, str], **options: Any) -> Search | Fault:
    try:
        return search(type_, *pairs, **options)
    except Fault as fault:
        return fault
