"""Filters of MongoDB joined: nothing and everything are values of their own, lists of keys become one.

A filter is what ``$match`` takes. https://www.mongodb.com/docs/manual/reference/operator/query/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

Filter = dict[str, Any]
Stage = dict[str, Any]

TRUE: Final[Filter] = {}
"""What every document passes."""

FALSE: Final[Filter] = {"_id": {"$in": []}}
"""What no document passes."""

_LISTED: Final = frozenset({"_id", "k", "f"})
"""Fields whose alternatives are joined into one list, which is one scan of an index."""


def all_of(filters: Iterable[Filter]) -> Filter:
    """Join by AND; none: everything."""
    kept: list[Filter] = []
    for each in filters:
        if each == FALSE:
            return FALSE
        if each.keys() == {"$and"}:
            kept.extend(each["$and"])
        elif each:
            kept.append(each)
    if not kept:
        return TRUE
    return kept[0] if len(kept) == 1 else {"$and": kept}


def any_of(filters: Iterable[Filter]) -> Filter:
    """Join by OR; none: nothing."""
    kept: list[Filter] = []
    listed: dict[str, dict[Any, None]] = {}
    for each in filters:
        if not each:
            return TRUE
        for item in each["$or"] if each.keys() == {"$or"} else (each,):
            found = _listed(item)
            if found is None:
                kept.append(item)
            else:
                listed.setdefault(found[0], {}).update(dict.fromkeys(found[1]))
    kept += [among(field, keys) for field, keys in listed.items() if keys]
    if not kept:
        return FALSE
    return kept[0] if len(kept) == 1 else {"$or": kept}


def negated(item: Filter) -> Filter:
    """Turn a filter into its opposite."""
    if not item:
        return FALSE
    if item == FALSE:
        return TRUE
    if item.keys() == {"$nor"} and len(item["$nor"]) == 1:
        opposite: Filter = item["$nor"][0]
        return opposite
    return {"$nor": item["$or"] if item.keys() == {"$or"} else [item]}


def among(field: str, values: Iterable[Any]) -> Filter:
    """Return the filter that ``field``, or one of the values in it, is one of ``values``; none: nothing."""
    wanted = list(values)
    if not wanted:
        return FALSE
    return {field: wanted[0]} if len(wanted) == 1 else {field: {"$in": wanted}}


def merged(conditions: Iterable[Filter]) -> Filter:
    """Join conditions on one row by AND, in one document where no two speak of the same field."""
    kept = [each for each in conditions if each]
    row = {field: wanted for each in kept for field, wanted in each.items()}
    return row if len(row) == sum(map(len, kept)) else {"$and": kept}


def _listed(item: Filter) -> tuple[str, list[Any]] | None:
    """Return the field and the values of a filter that lists some; None for any other."""
    if len(item) != 1:
        return None
    [(field, wanted)] = item.items()
    if field not in _LISTED:
        return None
    if not isinstance(wanted, dict):
        return field, [wanted]
    return (field, wanted["$in"]) if wanted.keys() == {"$in"} else None


def depth(value: object) -> int:
    """Return how many documents and lists are open at the innermost place of a filter or pipeline.

    Of a list that begins with a plain value nothing more is looked at: it holds no others.
    """
    if isinstance(value, Mapping):
        return 1 + max(map(depth, value.values()), default=0)
    if isinstance(value, (list, tuple)):
        return 1 + (max(map(depth, value)) if value and isinstance(value[0], (Mapping, list)) else 0)
    return 0
