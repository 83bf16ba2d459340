"""From the searchable values of one resource to its index rows, and what differs between two versions.

Rows are tuples in the order of the table's columns without ``sk``, which is known only when they are written.
A date, number or quantity row is *simple* when it is at most a day long (dates) or a single point (numbers,
quantities) and, for dates and numbers, the only one of its parameter; the others get the odd twin of p.
Simple rows let a bound on ``hi`` become a bound on ``lo``, which the key is ordered by.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from fhir_server.crypto.blind import BlindIndex
from fhir_server.search.fold import fold
from fhir_server.search.values import Values
from fhir_server.store.cells import cells_of
from fhir_server.store.sealed import patient_digest
from fhir_server.store.sqlite.elements import element_rows
from fhir_server.store.sqlite.names import Text
from fhir_server.store.sqlite.schema import DAY_MS, NO_DATE

WORD_SYSTEM: Final = 0
"""``token.s`` of words and cells, which have no system and are told from codes by their digests."""

UPDATED: Final = "_lastUpdated"
"""The date that ``own`` lacks where it is the head's, as it is in every resource that a server wrote."""

Row = tuple[Any, ...]

COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "token": ("p", "k", "sk", "s"),
    "ref": ("p", "k", "x", "sk"),
    "str": ("t", "sk"),
    "date": ("p", "lo", "hi", "sk"),
    "number": ("p", "lo", "hi", "sk"),
    "quantity": ("p", "u", "lo", "hi", "s", "sk"),
    "own": ("sk", "p", "a", "b"),
    "composite": ("p", "c", "k", "u", "a", "b", "z", "s", "sk", "n"),
    "element": ("sk", "p", "c", "k", "u", "a", "b", "z", "s", "n"),
    "undated": ("sk",),
    "subject": ("sk", "k"),
}
"""The index tables. ``token`` holds codes, URIs, words and the cells of positions. ``str`` holds the
numbers that the table ``text`` gives to strings (p, k, e): the same displays stand in most resources, and
keys are long. A row of :class:`Rows` has the string itself, see :func:`numbered`. ``own`` holds references
(a: target), dates, numbers and quantities (a: lo, b: hi) by resource: it tests and sorts a candidate that
another index found, and leads from a resource to its targets. ``composite`` and ``element`` hold the same
rows, by value and by resource (see ``elements``). ``undated`` lists the resources that lack their type's
clinical date: an ascending sort begins with them, and they are few.
"""

BY_RESOURCE: Final = frozenset({"own", "element", "undated", "subject"})
"""The tables whose key begins with ``sk``."""


@dataclass(slots=True)
class Rows:
    """Index rows by table, each once."""

    token: set[Row] = field(default_factory=set)
    ref: set[Row] = field(default_factory=set)
    str: set[Row] = field(default_factory=set)
    date: set[Row] = field(default_factory=set)
    number: set[Row] = field(default_factory=set)
    quantity: set[Row] = field(default_factory=set)
    own: set[Row] = field(default_factory=set)
    composite: set[Row] = field(default_factory=set)
    element: set[Row] = field(default_factory=set)
    undated: set[Row] = field(default_factory=set)
    subject: set[Row] = field(default_factory=set)

    def minus(self, other: Rows) -> Rows:
        """Return the rows that ``other`` lacks."""
        return Rows(*(getattr(self, table) - getattr(other, table) for table in COLUMNS))


def with_sk(table: str, rows: Iterable[Row], sk: int) -> list[Row]:
    """Put ``sk`` in its column: whole rows of ``table``, unordered."""
    if table == "token":
        return [(p, k, sk, s) for p, k, s in rows]
    if table in BY_RESOURCE:
        return [(sk, *row) for row in rows]
    if table == "composite":
        return [(*row[:-1], sk, row[-1]) for row in rows]
    return [(*row, sk) for row in rows]


def numbered(rows: Iterable[Row], numbers: Mapping[Text, int]) -> list[Row]:
    """Return whole rows of ``str``, given rows of (p, k, e, sk) and the numbers of their strings."""
    return [(numbers[p, k, e], sk) for p, k, e, sk in rows]


def strings_of(rows: Iterable[Row]) -> set[Text]:
    """Return the strings of rows (p, k, e, sk)."""
    return {(p, k, e) for p, k, e, _ in rows}


def names_of(values: Values) -> set[str]:
    """Return the codes of all parameters that have values."""
    kinds: tuple[Iterable[tuple[Any, ...]], ...] = (
        values.tokens,
        values.strings,
        values.dates,
        values.numbers,
        values.quantities,
        values.references,
        values.uris,
        values.composites,
        values.positions,
        values.words,
    )
    return {row[0] for kind in kinds for row in kind}


def rows_of(
    values: Values, numbers: Mapping[str, int], blind: BlindIndex, *, timed: bool, updated: int
) -> Rows:
    """Compute the index rows; ``timed``: the type has a clinical date; ``updated``: when it was, in ms.

    Raises ``Unallotted`` for a parameter without a number.
    """
    code, system, target, prefix = blind.code, blind.system, blind.target, blind.prefix
    rows = Rows(token={(numbers[p], code(c), system(s)) for p, s, c in values.tokens})
    if values.uris:
        blank = system("")
        rows.token.update((numbers[p], code(uri), blank) for p, uri in values.uris)
    when = NO_DATE if values.clinical is None else values.clinical
    if timed and values.clinical is None:
        rows.undated.add(())
    if len(values.patients) > 1:
        rows.subject = {(patient_digest(blind, patient),) for patient in values.patients}
    for param, to in values.references:
        number, digest = numbers[param], target(to)
        rows.ref.add((number, digest, when))
        rows.own.add((number, digest, 0))
    if values.strings:
        rows.str = {(numbers[p], prefix(fold(text)), blind.text(text)) for p, text in values.strings}
    _add_spans(rows.date, rows.own, set(values.dates), numbers, DAY_MS)
    # The head of a resource has this one too: it is the only row of its parameter if it is simple.
    moment = numbers.get(UPDATED), updated, updated
    if moment in rows.date:
        rows.own.discard(moment)
    if values.numbers:
        _add_spans(rows.number, rows.own, set(values.numbers), numbers, 0)
    for param, of, unit_code, unit, lo, hi in values.quantities:
        number = numbers[param]
        row = (number | (lo != hi), lo, hi, system(of))
        rows.quantity.update(
            (row[0], blind.unit(name), *row[1:]) for name in (unit_code or unit, unit or unit_code)
        )
        rows.own.add((number, lo, hi))
    _add_words(rows.token, values, numbers, blind)
    for place, (param, components) in enumerate(values.composites):
        rows.element.update(element_rows(numbers[param], place, components, blind))
    rows.composite = rows.element
    return rows


def _add_words(to: set[Row], values: Values, numbers: Mapping[str, int], blind: BlindIndex) -> None:
    """Add what is looked for by digests of its own: words of texts, cells of positions."""
    if values.words:
        word = blind.word
        to.update((numbers[p], word(text), WORD_SYSTEM) for p, text in values.words)
    for param, latitude, longitude in values.positions:
        number = numbers[param]
        to.update((number, blind.cell(*cell), WORD_SYSTEM) for cell in cells_of(latitude, longitude))


def _add_spans(
    to: set[Row],
    own: set[Row],
    spans: set[tuple[str, int, int]] | set[tuple[str, float, float]],
    numbers: Mapping[str, int],
    width: int,
) -> None:
    several = Counter(param for param, _, _ in spans) if len(spans) > 1 else {}
    for param, lo, hi in spans:
        number = numbers[param]
        simple = hi - lo <= width and several.get(param, 1) == 1
        to.add((number if simple else number | 1, lo, hi))
        own.add((number, lo, hi))
