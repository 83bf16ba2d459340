"""Where the engines differ, in one list: /metadata tells it, docs/stores.md shows it, tests hold both to it.

What is not listed is the same: every search, its order, totals and pages; history; consent; what is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Engine = Literal["sqlite", "mongodb"]
"""The engines, as :class:`fhir_server.store.api.Facts` names them."""

NAMES: Final[dict[Engine, str]] = {"sqlite": "SQLite, embedded", "mongodb": "MongoDB"}
"""What people call the engines."""


@dataclass(frozen=True, slots=True)
class Capability:
    """Something that the engines do differently: what it is, and a sentence for each of them."""

    name: str
    sqlite: str
    mongodb: str

    def of(self, engine: Engine) -> str:
        """Return the sentence for an engine."""
        return self.sqlite if engine == "sqlite" else self.mongodb


CAPABILITIES: Final = (
    Capability(
        "Servers",
        "One machine: its processes share the data folder.",
        "Any number of processes on any machines; they keep nothing but the address and the keys.",
    ),
    Capability(
        "Looking into records",
        "A search that the index cannot answer alone (:contains, near, order by text, _contained) looks into"
        " as many records as it can until FHIR_SEARCH_SECONDS are over.",
        "A search that the index cannot answer alone (:contains, near, order by text, _contained) looks into"
        " 20,000 records at most, and is refused with advice when it needs more.",
    ),
    Capability(
        "Large resources",
        "A resource may be as large as FHIR_MAX_BODY_BYTES lets it in.",
        "A resource may be as large as FHIR_MAX_BODY_BYTES lets it in (beyond 12 MB it lies in GridFS), but"
        " is refused when what it is found by takes more than 15 MB.",
    ),
    Capability(
        "Order of creation",
        "Resources stand in the order in which they were committed.",
        "Resources stand in the order in which they were created, between servers as exactly as their clocks"
        " agree; the order never changes.",
    ),
    Capability(
        "Backup",
        "`fhir-server backup` copies the data folder while it is served.",
        "`mongodump` copies the database; `fhir-server backup` says so.",
    ),
    Capability(
        "Audit log",
        "The log is a folder of files, a chain for each process.",
        "The log is collections of the database, a chain for each process, held by a lease.",
    ),
)


def told(engine: Engine) -> str:
    """Return what holds of an engine, as Markdown for people who read /metadata."""
    lines = [f"* {each.name}: {each.of(engine)}" for each in CAPABILITIES]
    return "\n".join([f"Records are kept in {NAMES[engine]}.", "", *lines])
