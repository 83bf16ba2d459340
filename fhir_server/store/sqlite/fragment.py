"""Pieces of SQL with their arguments, joined in the order in which they stand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

from fhir_server.search.predicate import Predicate

_UNION_WIDTH = 100
"""SQLite joins at most 500 SELECTs in one compound and nests expressions at most 1000 deep."""


class Sql(NamedTuple):
    """A text with ``?`` and the values for them. Text never holds a value that came from a caller."""

    text: str
    args: tuple[Any, ...] = ()


TRUE = Sql("1")
FALSE = Sql("0")


def all_true(parts: Sequence[Sql]) -> Sql:
    """Join conditions by AND; none: true."""
    return _tree(parts, " AND ") if parts else TRUE


def any_true(parts: Sequence[Sql]) -> Sql:
    """Join conditions by OR; none: false."""
    return _tree(parts, " OR ") if parts else FALSE


def _tree(parts: Sequence[Sql], word: str) -> Sql:
    """Join as a balanced tree, so that thousands of parts do not nest deeper than SQLite allows."""
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    left, right = _tree(parts[:middle], word), _tree(parts[middle:], word)
    return Sql(f"({left.text}{word}{right.text})", left.args + right.args)


def union_all(parts: Sequence[Sql]) -> Sql:
    """Join SELECTs of one column ``sk``."""
    while len(parts) > _UNION_WIDTH:
        groups = [parts[i : i + _UNION_WIDTH] for i in range(0, len(parts), _UNION_WIDTH)]
        # The materialised subquery keeps SQLite from flattening it back into one over-long compound.
        parts = [
            Sql(f"SELECT sk FROM ({joined.text} LIMIT -1)", joined.args)
            for joined in (union_all(group) for group in groups)
        ]
    return Sql(" UNION ALL ".join(part.text for part in parts), _args(parts))


def _args(parts: Iterable[Sql]) -> tuple[Any, ...]:
    return tuple(arg for part in parts for arg in part.args)


class Cost(IntEnum):
    """What testing one candidate costs: a look-up, all rows once as a set, opening the resource."""

    POINT = 0
    SET = 1
    RECORD = 2


@dataclass(frozen=True, slots=True)
class Conjunct:
    """One condition in its two forms.

    ``rows``: a SELECT of ``sk``, perhaps with repetitions, of all live resources that pass; None when it
    could only list the whole type. ``test``: a condition on the ``sk`` whose SQL name it is given.
    ``label``: what a plan calls it, without any value. ``cost``: that of ``test``.
    ``in_order``: ``rows`` come by ``sk``. ``target``: parameter and target when it is a reference to one.
    ``size``: how many rows there are, when that is known without asking. ``is_dear``: listing ``rows`` opens
    resources. ``opened``: the same test by opening the resource, cheaper than a set for few candidates.
    ``inner``: type and predicate at the other end of a chain. ``span``: number of the parameter, of whose
    spans it says something, and the condition that a simple row of it (see ``rows``) meets. ``weight``: what
    listing a row costs, a row of one index being 1.
    """

    test: Callable[[str], Sql]
    rows: Callable[[], Sql] | None = None
    in_order: bool = False
    target: tuple[int, int] | None = None
    size: int | None = None
    label: str = ""
    cost: Cost = Cost.POINT
    is_dear: bool = False
    opened: Callable[[str], Sql] | None = None
    inner: tuple[str, Predicate] | None = None
    span: tuple[int, Sql] | None = None
    weight: int = 1
