"""The way into the log for whoever has something to report, and what happens when the log cannot take it.

https://hl7.org/fhir/R4/security.html#audit
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Literal

from fhir_server.audit.entry import Entry
from fhir_server.audit.log import Log
from fhir_server.faults import Fault

Failure = Literal["refuse", "continue"]

_LOG = logging.getLogger("fhir_server.audit")


class Recorder:
    """Records entries. ``failure``: whether what cannot be recorded is refused, or goes on with an alarm."""

    def __init__(self, log: Log, failure: Failure = "refuse") -> None:
        self._log = log
        self._failure = failure

    async def record(self, entries: Sequence[Entry]) -> None:
        """Return when the entries are durable; Fault(UNAVAILABLE) when they cannot be and must be."""
        if not entries:
            return
        try:
            await self._log.append(entries)
        except Fault:
            if self._failure == "refuse":
                raise
            self._alarm(entries)

    def leave(self, entries: Sequence[Entry]) -> None:
        """Record entries without waiting: for what is not answered any more."""
        if entries:
            self._log.put(entries)

    def _alarm(self, entries: Sequence[Entry]) -> None:
        """Say what was lost: when, by whom, what kind; nothing of a patient."""
        for entry in entries:
            fields = {
                "request_id": entry.request,
                "client": entry.agent.client,
                "interaction": entry.interaction,
            }
            _LOG.critical("An access was answered that is in no audit log", extra={"fields": fields})
