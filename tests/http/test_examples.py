"""The official examples of R4 load whole, and each is found by every search parameter it has a value for.

https://hl7.org/fhir/R4/downloads.html
"""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import quote

import pytest

from fhir_server.resources.codec import decode
from fhir_server.search.extract import Extractor
from fhir_server.search.values import Values
from tests.http.server import BASE, Server, Tree, load
from tests.unit.search.asking import ZONE
from tests.unit.search.test_found import questions

FILE: Final = Path(__file__).parents[1] / "examples" / "r4.jsonl.gz"
EXAMPLES: Final = [decode(line, max_depth=64) for line in gzip.decompress(FILE.read_bytes()).splitlines()]
EXTRACTOR: Final = Extractor(ZONE, BASE)
_OWN: Final = ("_id", "_lastUpdated", "_profile", "_tag", "_security", "_source", "_contained")
_LIMITS: Final = range(-62_135_596_800_000, 253_402_300_800_000)
"""The years 1 to 9999 in ms: a period without a beginning or an end goes on beyond."""


def name(example: Tree) -> str:
    return f"{example['resourceType']}/{example['id']}"


@pytest.fixture(scope="module")
def filled(server: Server) -> Server:
    """Store every example under its own id."""
    for example in EXAMPLES:
        answer = server.put(name(example), example)
        assert answer.status_code == 201, (name(example), answer.text)
    return server


def asked(values: Values) -> list[tuple[str, str]]:
    """Return what can be asked for, spans included, the server's own parameters aside."""
    found = [(param, value) for param, value in questions(values) if value.strip()]
    found += [(param, f"ge{_instant(lo)}") for param, lo, _ in values.dates if lo in _LIMITS]
    found += [(param, f"le{_instant(hi)}") for param, _, hi in values.dates if hi in _LIMITS]
    found += [(param, f"ap{lo!r}") for param, lo, hi in values.numbers if lo == hi]
    found += [(param, f"{lo!r}|{system}|{code}") for param, system, code, _, lo, hi in _exact(values)]
    return [each for each in dict.fromkeys(found) if each[0].partition(":")[0] not in _OWN]


def _exact(values: Values) -> list[tuple[str, str, str, str, float, float]]:
    # What is indexed in canonical units too is asked for by the plain parameter.
    return [row for row in values.quantities if row[2] and row[4] == row[5] and ":" not in row[0]]


def _instant(ms: int) -> str:
    seconds, rest = divmod(ms, 1000)
    return f"{_calendar(seconds)}.{rest:03d}Z"


def _calendar(seconds: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")


@pytest.mark.parametrize("example", EXAMPLES, ids=name)
def test_an_example_is_found_by_all_that_it_holds(filled: Server, example: Tree) -> None:
    type_, id_ = example["resourceType"], example["id"]
    searches = asked(EXTRACTOR.extract(example))
    entries = [
        {
            "request": {
                "method": "GET",
                "url": f"{type_}?{quote(param)}={quote(value)}&_id={id_}&_total=accurate",
            }
        }
        for param, value in searches
    ]
    entries.append({"request": {"method": "GET", "url": f"{type_}?_id={id_}&_total=accurate"}})
    searches.append(("_id", id_))
    answer = load(filled.post("", {"resourceType": "Bundle", "type": "batch", "entry": entries}))
    lost = [
        (search, entry["response"]["status"], entry.get("resource", {}).get("total"))
        for search, entry in zip(searches, answer["entry"], strict=True)
        if entry["response"]["status"][:3] != "200" or entry["resource"]["total"] != 1
    ]
    assert lost == []


@pytest.mark.parametrize("example", EXAMPLES, ids=name)
def test_an_example_is_not_found_by_what_it_does_not_hold(filled: Server, example: Tree) -> None:
    type_, id_ = example["resourceType"], example["id"]
    values = EXTRACTOR.extract(example)
    tokens = {param for param, _, _ in values.tokens if ":" not in param}
    strings = {param for param, _ in values.strings if ":" not in param}
    wrong = [f"{type_}?{quote(param)}=zz-no-such-value&_id={id_}" for param in sorted(tokens | strings)]
    wrong += [f"{type_}?{quote(param)}:missing=true&_id={id_}" for param in sorted(tokens | strings)]
    for url in wrong:
        answer = filled.get(url)
        # A boolean, say, takes no such value: refused is as good as not found.
        assert answer.status_code == 400 or load(answer).get("entry", []) == [], url
