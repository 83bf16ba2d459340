"""Who may be meant: searches over the index that a right answer can hardly escape, each quick and limited.

Two records of one person agree in an identifier, in a phone number, in the birth date together with a part
of the name or the gender, or in the whole name; a record that agrees in none of these is never a match.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, tzinfo

from fhir_server.operations.matching.features import Features, full_sounds
from fhir_server.search.dates import span
from fhir_server.search.predicate import (
    DateIs,
    Predicate,
    StringStarts,
    TokenIs,
    Where,
    all_of,
    any_of,
)

_MOST_PARTS = 6


def searches(given: Features, zone: tzinfo, phones: frozenset[str]) -> Iterator[Predicate]:
    """Yield the predicates whose matches are to be compared. ``phones``: as they were written."""
    identifiers = [Where("identifier", TokenIs(None, number)) for number in given.id_numbers]
    identifiers += [
        Where("identifier", TokenIs(system or None, value)) for system, value in given.identifiers
    ]
    if identifiers:
        yield any_of(identifiers)
    written = {form for each in given.phones for form in (each, f"+86{each}", f"+86 {each}", f"86{each}")}
    if written | phones:
        yield any_of(Where("telecom", TokenIs(None, each)) for each in sorted(written | phones))
    named, whole = list(_named(given, whole=False)), list(_named(given, whole=True))
    if given.birth_date:
        born = Where("birthdate", _on(given.birth_date, zone))
        sex = Where("gender", TokenIs(None, given.gender)) if given.gender else None
        yield all_of((born, any_of(named))) if named else born
        if sex is not None:
            yield all_of((born, sex))
        if whole:
            # With a family name alone thousands would have to be compared with every slip.
            slips = any_of(Where("birthdate", _on(each, zone)) for each in slips_of(given.birth_date))
            yield all_of((any_of(whole), slips))
    if whole:
        yield any_of(whole)


def _named(given: Features, *, whole: bool) -> Iterator[Predicate]:
    """Yield tests of the name: of all its parts, or of it as a ``whole``, since many share a family name."""
    said = {
        form for name in given.names for form in ((name.joined,) if whole else (name.joined, *name.parts))
    }
    for form in sorted(said, key=len, reverse=True)[:_MOST_PARTS]:
        yield Where("name", StringStarts(form))
    heard = {sound for name in given.names for sound in full_sounds(name)}
    for sound in sorted(heard, key=len, reverse=True)[:_MOST_PARTS]:
        yield Where("name:sound", StringStarts(sound))


def slips_of(written: str) -> Iterator[str]:
    """Yield the dates that a slip makes of one: month and day or two digits exchanged, one digit wrong."""
    found = {f"{written[:5]}{written[8:]}-{written[5:7]}"}
    for place, digit in enumerate(written):
        if digit != "-":
            found |= {f"{written[:place]}{other}{written[place + 1 :]}" for other in "0123456789"}
        if place:
            found.add(f"{written[: place - 1]}{digit}{written[place - 1]}{written[place + 1 :]}")
    for each in sorted(found - {written}):
        try:
            date.fromisoformat(each)
        except ValueError:
            continue
        yield each


def _on(written: str, zone: tzinfo) -> DateIs:
    lo, hi = span(written, zone)
    return DateIs("eq", lo, hi)
