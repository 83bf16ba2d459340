"""What is told about each request: one log line and a few numbers, none of which holds personal data.

An id, a path, a parameter's value and an unknown parameter's name may each hold a person's data, so none of
them is ever written; interaction, type, the names of known parameters, status and time are.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest

from fhir_server.rest.logs import AccessLine, Lines, moment

if TYPE_CHECKING:
    from fhir_server.rest.percent import Pairs

ACCESS_LOG = logging.getLogger("fhir_server.access")
"""Its level says which requests are told of; the lines go their own way."""
_LEVELS = {logging.DEBUG: "debug", logging.INFO: "info", logging.ERROR: "error"}

RESULT_PARAMETERS = frozenset(
    {
        *(
            "_id",
            "_lastUpdated",
            "_tag",
            "_profile",
            "_security",
            "_source",
            "_text",
            "_content",
            "_list",
            "_has",
        ),
        *(
            "_type",
            "_sort",
            "_count",
            "_include",
            "_revinclude",
            "_summary",
            "_total",
            "_elements",
            "_contained",
        ),
        *("_containedType", "_since", "_at", "_query", "_filter"),
    }
)
"""Parameters of every type. https://hl7.org/fhir/R4/search.html#Summary"""

# Asked every few seconds by whatever watches the server; worth a line only when something is wrong.
_QUIET = frozenset({"health", "metrics"})
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


@dataclass(slots=True)
class Exchange:
    """What the log may say of one request and its response; ``seconds`` of wall time, sizes in bytes."""

    request_id: str
    method: str
    interaction: str = ""
    type: str = ""
    query: Pairs = ()
    status: int = 0
    received: int = 0
    sent: int = 0
    seconds: float = 0.0


class Observer:
    """Counts and logs exchanges. ``known``: parameter names that may be logged; values never are."""

    def __init__(self, known: frozenset[str] = RESULT_PARAMETERS) -> None:
        self._known = known
        self._lines = Lines()
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "fhir_requests",
            "Requests answered, by interaction, resource type and HTTP status.",
            ("interaction", "type", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "fhir_request_seconds",
            "Time from the request's head to the end of its response, in seconds.",
            ("interaction",),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._counters: dict[tuple[str, str, int], Counter] = {}
        self._histograms: dict[str, Histogram] = {}

    def record(self, exchange: Exchange) -> None:
        """Count ``exchange`` and write its line to the access log."""
        key = (exchange.interaction, exchange.type, exchange.status)
        counter = self._counters.get(key)
        if counter is None:
            counter = self._counters[key] = self._requests.labels(*key)
        counter.inc()
        histogram = self._histograms.get(exchange.interaction)
        if histogram is None:
            histogram = self._histograms[exchange.interaction] = self._seconds.labels(exchange.interaction)
        histogram.observe(exchange.seconds)
        level = logging.ERROR if exchange.status >= 500 else logging.INFO
        if level == logging.INFO and exchange.interaction in _QUIET:
            level = logging.DEBUG
        if ACCESS_LOG.isEnabledFor(level):
            self._log(level, exchange)

    def exposition(self) -> bytes:
        """Return all numbers in the Prometheus text format."""
        return generate_latest(self._registry)

    def _log(self, level: int, exchange: Exchange) -> None:
        line = AccessLine(
            moment(),
            _LEVELS[level],
            ACCESS_LOG.name,
            "request",
            exchange.request_id,
            exchange.method,
            exchange.interaction,
            exchange.type,
            redacted(exchange.query, self._known),
            exchange.status,
            round(exchange.seconds * 1000, 3),
            exchange.received,
            exchange.sent,
        )
        self._lines.write(line)


def redacted(query: Pairs, known: frozenset[str]) -> str:
    """Write the names of parameters with ``***`` for each value, e.g. ``name=***&_count=***``.

    A name that is not ``known`` (modifier and chain aside) is ``***`` too: a client may put a value there.
    """
    return "&".join(f"{_shown(name, known)}=***" for name, _ in query)


def _shown(name: str, known: frozenset[str]) -> str:
    base, mark, _ = name.partition(":")
    if base in known:
        return f"{base}:***" if mark else base
    base, mark, _ = name.partition(".")
    return f"{base}.***" if mark and base in known else "***"
