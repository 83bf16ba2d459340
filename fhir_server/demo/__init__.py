"""Demo data made of a seed: hospitals, an insurance agency, chronic patients, a stay for acute pancreatitis.

Two hospitals stand in different regions; forty patients have two years of records each. Nobody in it exists,
and nobody can: see :mod:`fhir_server.demo.people`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta, timezone
from random import Random

from fhir_server.demo.chronic import begin, visits
from fhir_server.demo.diseases import DEPRESSION, DISEASES
from fhir_server.demo.entries import Entries, Tree
from fhir_server.demo.insured import Insured, coverage, patient, scheme_of
from fhir_server.demo.organisations import FIRST, SECOND, agency, hospital, staffed
from fhir_server.demo.pancreatitis import stay
from fhir_server.demo.people import person

SEED = 20260701
"""The seed of the demo data that ``fhir-server load --demo`` loads."""
PATIENTS = 40
COUNSELLED = frozenset({1, 2})
"""Patients, one of each hospital, who are treated for a depression besides."""
UNTIL = date(2026, 6, 30)
"""The day on which the two years end."""

_CHINA = timezone(timedelta(hours=8))
_COUNSELLING = 1000
"""Added to a patient's number: the visits to another department have numbers of their own."""
_TWO_YEARS = timedelta(days=730)


def bundles(seed: int = SEED, until: date = UNTIL) -> Iterator[tuple[str, Tree]]:
    """Yield (file name, transaction Bundle): the institutions, each chronic patient, the stay.

    The same seed and day give the same bundles, to the last digit. Each bundle stands alone: it creates the
    institutions it needs unless they exist. Numbers with a point are Decimal.
    """
    random = Random(seed)  # noqa: S311 - demo data is to be repeatable, not secret
    end = datetime.combine(until, time(9, 30), _CHINA)
    yield "00-institutions.json", _institutions(random)
    for number in range(1, PATIENTS + 1):
        yield f"{number:02d}-chronic-patient.json", _chronic(random, number, end)
    entries = Entries(random)
    stay(entries, random, PATIENTS + 1, end)
    yield f"{PATIENTS + 1:02d}-acute-pancreatitis.json", entries.bundle()


def _institutions(random: Random) -> Tree:
    entries = Entries(random)
    agency(entries)
    for which in (FIRST, SECOND):
        hospital(entries, which)
    return entries.bundle()


def _chronic(random: Random, number: int, end: datetime) -> Tree:
    """Make one patient: the main disease in turn, sometimes a second or a third one."""
    where = FIRST if number % 2 else SECOND
    main = DISEASES[number % len(DISEASES)]
    others = random.sample([other for other in DISEASES if other is not main], random.choice((0, 0, 1, 1, 2)))
    start = end - _TWO_YEARS + timedelta(days=random.randint(0, 40))
    entries = Entries(random)
    someone = person(random, number, where.region, (45, 84), end.date())
    place = staffed(entries, where, main.department)
    payer = agency(entries)
    who = patient(entries, someone, place.hospital)
    scheme = scheme_of(someone, end.date(), employed=random.random() < 0.6)
    since = end.date() - timedelta(days=365 * random.randint(4, 15))
    insured = Insured(who, coverage(entries, someone, who, payer, scheme, since), scheme)
    onset = start - timedelta(days=random.randint(200, 4000))
    course = begin(entries, insured, place, payer, [main, *others], onset)
    visits(entries, random, course, start, end, number)
    if number in COUNSELLED:
        recently = end - timedelta(days=random.randint(100, 160))
        counselling = staffed(entries, where, DEPRESSION.department)
        troubles = begin(entries, insured, counselling, payer, [DEPRESSION], recently)
        visits(entries, random, troubles, recently, end, number + _COUNSELLING)
    return entries.bundle()
