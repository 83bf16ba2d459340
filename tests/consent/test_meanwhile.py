"""Two workers on one store: while patients file and withdraw in one, pages and totals of the other are whole.

https://hl7.org/fhir/R4/http.html#paging
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.consent.filed import deny_all
from tests.http.server import Tree, links, load, matches
from tests.leak.house import ROOT, Guarded, guarded, value
from tests.leak.test_consent import GUEST, shared_world

pytestmark = pytest.mark.every_engine

EACH = 12
"""Observations of either patient beside those of the world of tests/leak."""
ROUNDS = 6
PAGE = 5


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Guarded]:
    more = [
        value(f"{who}-{n}", who, "1111-1", "1.5")
        for who in ("mine", "hidden")
        for n in range(100, 100 + EACH)
    ]
    with guarded(tmp_path, trees=[*shared_world(), *more]) as server:
        yield server


class Filing(threading.Thread):
    """Denies and withdraws again until :meth:`stop`; ``broken``: what was shown right after a denial."""

    def __init__(self, house: Guarded, denials: list[Tree]) -> None:
        super().__init__()
        self.house, self.denials = house, denials
        self.broken: list[str] = []
        self.filed = 0
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.is_set():
            for status in ("inactive", "active"):
                self._set(status)
            self.filed += 1
            with self.house.as_(GUEST):
                after = self.house.get("Observation?patient=hidden&_total=accurate").text
                if '"total":0' not in after or "hidden-" in after.replace("patient=hidden", ""):
                    self.broken.append(after)

    def _set(self, status: str) -> None:
        with self.house.as_(ROOT):
            for tree in self.denials:
                answer = self.house.put(f"Consent/{tree['id']}", {**tree, "status": status})
                assert answer.status_code == 200, answer.text

    def stop(self) -> None:
        self._over.set()
        self.join()


def test_pages_and_totals_are_whole_while_consents_come_and_go(house: Guarded) -> None:
    with house.as_(GUEST):
        both = set(house.find("Observation?_count=100"))
    of_hidden = {each for each in both if each.startswith("hidden")}
    always = both - of_hidden
    assert len(of_hidden) > EACH
    with house.as_(ROOT):
        denials = [house.create(tree) for tree in deny_all("hidden", "Organization/guest")]
    other = house.beside()
    other.start()
    filing = Filing(house, denials)
    totals: Counter[int] = Counter()
    with closing(other):
        filing.start()
        try:
            with other.as_(GUEST):
                while sum(totals.values()) < ROUNDS or (len(totals) < 2 and filing.is_alive()):
                    whole = load(other.get("Observation?_count=100&_total=accurate"))
                    assert len(matches(whole)) == whole["total"]
                    totals[whole["total"]] += 1
                    _page_through(other, always, of_hidden)
        finally:
            filing.stop()

    assert filing.broken == []
    assert filing.filed > 0
    assert set(totals) == {len(always), len(both)}


def _page_through(other: Guarded, always: set[str], of_hidden: set[str]) -> None:
    seen: list[str] = []
    for page in other.pages(f"Observation?_count={PAGE}&_total=accurate"):
        found = matches(page)
        assert page["total"] in {len(always), len(always) + len(of_hidden)}
        assert len(found) == PAGE or "next" not in links(page), "a page that is followed by another is full"
        seen += found
    assert len(set(seen)) == len(seen), "something came twice"
    assert always <= set(seen) <= always | of_hidden, "what everybody may see is missing"
