"""Conditions that were compiled once, for any candidate, and are put into many statements as text."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

from fhir_server.store.sqlite.fragment import Conjunct, Sql

Held = Mapping[tuple[str, int], Conjunct]
"""Conditions that are compiled already, by type and by the id of the predicate."""

NONE_HELD: Final[Held] = MappingProxyType({})

_PLACE: Final = "\0"
"""Stands for the SQL name of the candidates in a condition that was compiled for any."""


def kept(conjunct: Conjunct) -> Conjunct:
    """Return a condition that is compiled now, once and for any candidate."""
    test = conjunct.test(f"{_PLACE}.sk")
    beside = None if conjunct.beside is None else partial(_placed, conjunct.beside(f"{_PLACE}.sk"))
    return Conjunct(partial(_placed, test), label=conjunct.label, cost=conjunct.cost, beside=beside)


def _placed(condition: Sql, sk: str) -> Sql:
    return Sql(condition.text.replace(_PLACE, sk.removesuffix(".sk")), condition.args)
