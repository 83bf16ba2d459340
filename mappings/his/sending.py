"""Sending rows: where a run stands, and what to do when the server refuses one row among many.

A transaction stands or falls as a whole. So a refused one is halved and tried again until the rows that are
refused stand alone; all others arrive. Since every entry is conditional, trying again changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mappings.engine.batches import Converted
from mappings.engine.model import Context, Issue, Map, Message
from mappings.engine.run import read_all
from mappings.his.rows import Row

Post = Callable[[dict[str, Any]], str | None]
"""Sends a Bundle; returns None, or the server's reason when it refuses it.

It raises when it cannot know (no connection): nothing is tried further then, and a later run goes on from the
last position.
"""


def position(converted: Converted) -> str | None:
    """Return the token with which a later run goes on after these rows; None when there is none."""
    rows = [message for message in converted.messages if isinstance(message, Row)]
    return rows[-1].position.text if rows else None


def send(converted: Converted, post: Post, context: Context) -> list[Issue]:
    """Send what rows became; return an issue for each row that the server refuses by itself."""
    if converted.result is None or converted.map is None or not converted.result.bundle["entry"]:
        return []
    return _sent(converted.result.bundle, converted.map, converted.messages, post, context)


def _sent(
    bundle: dict[str, Any], map_: Map, messages: Sequence[Message], post: Post, context: Context
) -> list[Issue]:
    reason = post(bundle)
    if reason is None:
        return []
    if len(messages) == 1:
        return [Issue("error", "processing", messages[0].where, reason)]
    middle = len(messages) // 2
    issues = []
    for half in (messages[:middle], messages[middle:]):
        issues += _sent(read_all(map_, half, context).bundle, map_, half, post, context)
    return issues
