"""Rows → transaction Bundles of some hundred rows each, and what to do when the server refuses one of them.

A transaction stands or falls as a whole. So a refused one is halved and tried again until the rows that are
refused stand alone; all others arrive. Since every entry is a conditional one, trying again changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby

from mappings.engine.model import Context, Issue, Map, Result
from mappings.engine.run import read_all
from mappings.his.format import TableFormat
from mappings.his.rows import Bad, Row

SIZE = 500
"""Rows in a Bundle: archive and commit are shared by many, and a refused row is soon found."""


@dataclass(slots=True)
class Batch:
    """Some rows as one transaction: ``result`` holds the Bundle; ``bad`` what could not be read on the way.

    ``position``: the token after the last of its rows; with it the next run goes on.
    """

    rows: list[Row]
    result: Result
    position: str
    map: Map | None = None
    bad: list[Bad] = field(default_factory=list)


def batches(
    rows: Iterable[Row | Bad], format_: TableFormat, context: Context, size: int = SIZE
) -> Iterator[Batch]:
    """Yield the rows in batches, in order; a batch's rows are read by one map.

    A row that no map takes is reported in its batch's issues.
    """
    held: list[Row] = []
    bad: list[Bad] = []
    for item in rows:
        if isinstance(item, Bad):
            bad.append(item)
            continue
        held.append(item)
        if len(held) >= size:
            yield from _made(held, bad, format_, context)
            held, bad = [], []
    if held or bad:
        yield from _made(held, bad, format_, context)


def _made(rows: list[Row], bad: list[Bad], format_: TableFormat, context: Context) -> Iterator[Batch]:
    if not rows:
        yield Batch([], _empty(), bad[-1].position.text, None, bad)
        return
    for map_, group in groupby(rows, key=format_.map_for):
        own = list(group)
        batch = read_batch(own, map_, context)
        batch.bad, bad = bad, []
        yield batch


def read_batch(rows: list[Row], map_: Map | None, context: Context) -> Batch:
    """Read rows by one map into one transaction."""
    result = _unknown(rows) if map_ is None else read_all(map_, rows, context)
    return Batch(rows, result, rows[-1].position.text, map_)


def _empty() -> Result:
    return Result({"resourceType": "Bundle", "type": "transaction", "entry": []})


def _unknown(rows: list[Row]) -> Result:
    result = _empty()
    result.issues = [
        Issue("error", "not-supported", row.where, f"No map takes this row of {row.kind}.") for row in rows
    ]
    return result


def send(batch: Batch, post: Callable[[dict[str, object]], str | None], context: Context) -> list[Issue]:
    """Send a batch; return an issue for each row that the server refuses by itself.

    ``post`` sends a Bundle and returns None, or the server's reason when it refuses it. It raises when it cannot
    know (no connection): then nothing is tried further, and a later run goes on from the last position.
    """
    if not batch.result.bundle["entry"]:
        return []
    reason = post(batch.result.bundle)
    if reason is None:
        return []
    if len(batch.rows) == 1:
        return [Issue("error", "processing", batch.rows[0].where, reason)]
    middle = len(batch.rows) // 2
    halves = (batch.rows[:middle], batch.rows[middle:])
    return [issue for half in halves for issue in send(read_batch(half, batch.map, context), post, context)]
