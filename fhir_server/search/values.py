"""The searchable values of one resource, as plain data: what an extractor yields and a store indexes.

https://hl7.org/fhir/R4/search.html#ptypes
"""

from __future__ import annotations


class Values:
    """Rows by kind; ``param`` is the search parameter's code (``birthdate``, ``_lastUpdated``, …).

    ==============  ======================================================================================
    tokens          (param, system, code): system "" when none; a boolean's code is "true" or "false"
    strings         (param, text) as written; a store folds it (:func:`search.fold.fold`)
    dates           (param, lo, hi) milliseconds since the epoch, both included
    numbers         (param, lo, hi) floats, equal unless the element is a Range
    quantities      (param, system, code, unit, lo, hi): system, code, unit "" when none
    references      (param, target): ``Type/id`` when local (no version, no base), else the whole URL
    uris            (param, uri)
    clinical        milliseconds of the type's clinical date (``Observation.date`` …), None when it has none
    ==============  ======================================================================================

    ``param`` + ``:identifier`` among the tokens holds ``Reference.identifier`` of that reference parameter.
    """

    __slots__ = ("clinical", "dates", "numbers", "quantities", "references", "strings", "tokens", "uris")

    def __init__(self) -> None:
        self.tokens: list[tuple[str, str, str]] = []
        self.strings: list[tuple[str, str]] = []
        self.dates: list[tuple[str, int, int]] = []
        self.numbers: list[tuple[str, float, float]] = []
        self.quantities: list[tuple[str, str, str, str, float, float]] = []
        self.references: list[tuple[str, str]] = []
        self.uris: list[tuple[str, str]] = []
        self.clinical: int | None = None
