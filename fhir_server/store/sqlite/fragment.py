"""Pieces of SQL with their arguments, joined in the order in which they stand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

from fhir_server.search.predicate import Predicate

_UNION_WIDTH = 100
"""SQLite joins at most 500 SELECTs in one compound and nests expressions at most 1000 deep."""

_OPERANDS = 16


class Sql(NamedTuple):
    """A text with ``?`` and the values for them. Text never holds a value that came from a caller."""

    text: str
    args: tuple[Any, ...] = ()


class _Joined(Sql):
    """Conditions joined by one word, in parentheses."""

    __slots__ = ()


class _And(_Joined):
    __slots__ = ()


class Exists(Sql):
    """A condition that is one EXISTS or CASE and no more, so that NOT needs no parentheses around it."""

    __slots__ = ()


TRUE = Sql("1")
FALSE = Sql("0")


def all_true(parts: Sequence[Sql]) -> Sql:
    """Join conditions by AND; none: true."""
    return _join(parts, " AND ", _And, _And) if parts else TRUE


def any_true(parts: Sequence[Sql]) -> Sql:
    """Join conditions by OR; none: false."""
    return _join(parts, " OR ", _Joined, _Joined) if parts else FALSE


def where(parts: Sequence[Sql]) -> Sql:
    """Join conditions by AND for a WHERE that holds nothing else."""
    joined = all_true(parts)
    return Sql(bare(joined), joined.args)


def negated(condition: Sql) -> Sql:
    """Turn a condition into its opposite."""
    enclosed = isinstance(condition, _Joined | Exists)
    return Sql(f"NOT {condition.text}" if enclosed else f"NOT ({condition.text})", condition.args)


def bare(condition: Sql) -> str:
    """Return the text of a condition for a place where it stands alone, without needless parentheses."""
    return condition.text[1:-1] if isinstance(condition, _Joined) else condition.text


def _join(parts: Sequence[Sql], word: str, kind: type[_Joined], alike: type[_Joined]) -> Sql:
    """Join with as few parentheses as can be: SQLite's parser holds a hundred open ones and no more.

    ``alike``: parts that need none. Long lists become a tree, for expressions may not nest deep either; what
    was grouped for it keeps its parentheses.
    """
    texts = [bare(part) if isinstance(part, alike) else part.text for part in parts]
    while len(texts) > _OPERANDS:
        groups = [texts[i : i + _OPERANDS] for i in range(0, len(texts), _OPERANDS)]
        texts = [f"({word.join(group)})" if len(group) > 1 else group[0] for group in groups]
    return parts[0] if len(parts) == 1 else kind(f"({word.join(texts)})", _args(parts))


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


class Spanned(NamedTuple):
    """What a condition says of the spans of parameter number ``p``.

    ``simple``: the condition that a simple row of its index (see ``rows``) meets. ``exact``: the condition
    that a span from one SQL expression to another meets; one of a resource that has several may meet only
    a part of it.
    """

    p: int
    simple: Sql
    exact: Callable[[str, str], Sql]


@dataclass(frozen=True, slots=True)
class Conjunct:
    """One condition in its two forms.

    ``rows``: a SELECT of ``sk``, perhaps with repetitions, of all live resources that pass; None when it
    could only list the whole type. ``test``: a condition on the ``sk`` whose SQL name it is given.
    ``label``: what a plan calls it, without any value. ``cost``: that of ``test``.
    ``in_order``: ``rows`` come by ``sk``. ``target``: parameter and target when it is a reference to one.
    ``size``: how many rows there are, when that is known without asking. ``is_dear``: listing ``rows`` opens
    resources. ``opened``: the same test by opening the resource, cheaper than a set for few candidates.
    ``inner``: type and predicate at the other end of a chain. ``span``: what it says of spans. ``weight``:
    what listing a row costs, a row of one index being 1. ``beside``: the same test, made of what joins put
    beside the candidate (:func:`about.joined`); None when it needs none.
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
    span: Spanned | None = None
    weight: int = 1
    beside: Callable[[str], Sql] | None = None

    def quickest(self, sk: str) -> Sql:
        """Return the test for a statement that holds what it may need beside the candidate."""
        return self.test(sk) if self.beside is None else self.beside(sk)
