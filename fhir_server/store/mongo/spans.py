"""Comparisons of stored spans [a, b] as conditions on one row of ``i``, ``q`` or ``e``.

What bounds ``a`` from both sides is said although ``b`` implies it, since the index is ordered by ``a``.
https://hl7.org/fhir/R4/search.html#prefix
"""

from __future__ import annotations

from fhir_server.search.predicate import DateIs, NumberIs
from fhir_server.store.mongo.filters import Filter


def date_condition(test: DateIs) -> Filter:  # noqa: PLR0911 - one case for each prefix
    """Return the condition on a row with the span of a date, in milliseconds, both ends included."""
    lo, hi = test.lo, test.hi
    within = {"a": {"$gte": lo, "$lte": hi}, "b": {"$lte": hi}}
    match test.prefix:
        case "eq":
            return within
        case "ne":
            return {"$or": [{"a": {"$lt": lo}}, {"b": {"$gt": hi}}]}
        case "gt":
            return {"b": {"$gt": hi}}
        case "lt":
            return {"a": {"$lt": lo}}
        case "ge":
            return {"$or": [{"b": {"$gt": hi}}, within]}
        case "le":
            return {"$or": [{"a": {"$lt": lo}}, within]}
        case "sa":
            return {"a": {"$gt": hi}}
        case "eb":
            return {"b": {"$lt": lo}}
        case "ap":
            return {"a": {"$lte": hi}, "b": {"$gte": lo}}


def number_condition(test: NumberIs) -> Filter:  # noqa: PLR0911 - one case for each prefix
    """Return the condition on a row with a number, or a Range, whose implicit precision is [lo, hi)."""
    value, lo, hi = test.value, test.lo, test.hi
    match test.prefix:
        case "eq":
            return {"a": {"$gte": lo, "$lte": hi}, "b": {"$lt": hi}}
        case "ne":
            return {"$or": [{"a": {"$lt": lo}}, {"b": {"$gte": hi}}]}
        case "gt":
            return {"b": {"$gt": value}}
        case "lt":
            return {"a": {"$lt": value}}
        case "ge":
            return {"b": {"$gte": value}}
        case "le":
            return {"a": {"$lte": value}}
        case "sa":
            return {"a": {"$gt": value}}
        case "eb":
            return {"b": {"$lt": value}}
        case "ap":
            return {"a": {"$lt": hi}, "b": {"$gte": lo}}
