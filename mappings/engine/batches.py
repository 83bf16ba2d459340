"""Messages → results, one Bundle per message or per batch of rows: what command line and server share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from mappings.engine.model import Context, Format, Issue, Map, Message, Result
from mappings.engine.run import read_all

ROWS = 100
"""Rows of a table in one Bundle: enough to spare commits, few enough to look through a refused one."""


@dataclass(slots=True)
class Converted:
    """What a piece of the input became: ``result`` with its map and messages, or only issues.

    ``issues``: of reading the bytes and of the format's own rules; ``result.issues`` are those of the map.
    """

    issues: list[Issue] = field(default_factory=list)
    result: Result | None = None
    map: Map | None = None
    messages: Sequence[Message] = ()


def convert(
    format_: Format,
    found: Iterable[Message | Issue],
    context: Context,
    overlays: Sequence[str] = (),
    rows: int = ROWS,
) -> Iterator[Converted]:
    """Yield what the messages become, in order. Rows of one table are put into Bundles of ``rows``.

    What cannot be read, and a kind that no map knows, is an issue; what comes after it is converted.
    """
    waiting: list[Message] = []
    map_: Map | None = None
    issues: list[Issue] = []
    for item in found:
        if isinstance(item, Issue):
            issues.append(item)
            continue
        own = format_.map_for(item, overlays)
        if waiting and (own is not map_ or len(waiting) >= rows):
            yield _converted(map_, waiting, issues, context)
            waiting, issues = [], []
        if own is None:
            named = f"{item.kind} {item.direction}".strip()
            issues.append(
                Issue("error", "not-supported", item.where, f"{format_.name} has no map for '{named}'.")
            )
            continue
        issues += format_.check(item)
        map_ = own
        waiting.append(item)
        if own.per == "message":
            yield _converted(map_, waiting, issues, context)
            waiting, issues = [], []
    if waiting:
        yield _converted(map_, waiting, issues, context)
    elif issues:
        yield Converted(issues)


def _converted(map_: Map | None, messages: list[Message], issues: list[Issue], context: Context) -> Converted:
    assert map_ is not None
    return Converted(issues, read_all(map_, messages, context), map_, messages)
