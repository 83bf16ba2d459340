"""What is stored before anything is measured, and the requests that ask for it."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from urllib.parse import quote

from tests.bench import data
from tests.bench.data import Entry

PAGE = 20
"""Entries in a page of the sorted search."""


@dataclass(slots=True)
class Population:
    """Resources under known ids, the same in every server, and the paths that ask for them."""

    bodies: list[bytes]
    entries: list[Entry]
    reads: list[str] = field(default_factory=list)
    identifiers: list[str] = field(default_factory=list)
    sorted_pages: list[str] = field(default_factory=list)

    @property
    def resources(self) -> int:
        """How many resources the bodies store."""
        return len(self.entries) + len(json.loads(self.bodies[0])["entry"])

    @property
    def mean_bytes(self) -> float:
        """The mean size of a resource's JSON."""
        return sum(len(entry.json) for entry in self.entries) / len(self.entries)


def settle(source: Iterator[list[Entry]], transactions: int) -> Population:
    """Take transactions from the source and make of them what is stored first and asked for later."""
    groups = list(islice(source, transactions))
    entries = [entry for group in groups for entry in data.placed_entries(group)]
    population = Population([data.institutions(), *map(data.put_bundle, groups)], entries)
    observations = Counter(
        json.loads(entry.json)["subject"]["reference"] for entry in entries if entry.type == "Observation"
    )
    for entry in entries:
        place = f"{entry.type}/{entry.uuid}"
        population.reads.append(f"/fhir/{place}")
        if entry.type == "Patient":
            identifier = json.loads(entry.json)["identifier"][0]
            token = quote(f"{identifier['system']}|{identifier['value']}", safe="")
            population.identifiers.append(f"/fhir/Patient?identifier={token}")
        if observations[place] >= PAGE:
            population.sorted_pages.append(
                f"/fhir/Observation?patient={entry.uuid}&_sort=-date&_count={PAGE}"
            )
    # Neighbours on disk are not to be read one after another.
    random.Random(1).shuffle(population.reads)
    return population
