"""Counting round trips: the names of the commands that are sent to MongoDB."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pymongo import monitoring


class _Noting(monitoring.CommandListener):
    def __init__(self, names: list[str], commands: list[Mapping[str, Any]]) -> None:
        self._names = names
        self._commands = commands

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self._names.append(event.command_name)
        self._commands.append(event.command)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Note nothing."""

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Note nothing."""


@contextmanager
def noted(commands: list[Mapping[str, Any]] | None = None) -> Iterator[list[str]]:
    """Give the list of the names of commands that clients send which are made within the block.

    ``commands`` fills with the commands themselves.
    """
    names: list[str] = []
    listener = _Noting(names, [] if commands is None else commands)
    monitoring.register(listener)
    try:
        yield names
    finally:
        # The driver has no way to take one out again.
        monitoring._LISTENERS.command_listeners.remove(listener)  # type: ignore[attr-defined]
