"""The searchable values of one resource, as plain data: what an extractor yields and a store indexes.

https://hl7.org/fhir/R4/search.html#ptypes
"""

from __future__ import annotations

from typing import Any, Final

CONTAINED: Final = "_contained"
"""The code of the tokens that say which types a resource contains. No search parameter has it."""


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
    composites      (param, components): one row for each element of a composite parameter below the resource;
                    ``components`` is a tuple with, per component, a tuple of its values, each a row of its
                    kind without the param: ("token", system, code), ("quantity", system, code, unit,
                    lo, hi), ("number", lo, hi), ("date", lo, hi), ("string", text), ("reference", target),
                    ("uri", uri)
    positions       (param, latitude, longitude) in degrees
    words           (param, word): of ``_text`` and ``_content``, when the server keeps a text index
    generation      of the :class:`search.parameters.Registry` that said what to extract
    patients        ids of the patients that it is about, each once (:func:`search.subjects.subjects`)
    contained       (type, id, Values) of each resource within it, "" when it has no id; each type of them is
                    a token of ``_contained`` too (:meth:`contain`)
    clinical        milliseconds of the type's clinical date (``Observation.date`` …), None when it has none
    ==============  ======================================================================================

    What only modifiers ask for has rows too, under the code with the modifier: ``subject:identifier``
    (tokens: Reference.identifier), ``identifier:of-type`` (tokens: the type's system, and "code|value"),
    ``code:text`` (strings: what is displayed for a token), ``name:sound`` (strings: pinyin and initials of
    Chinese names), ``url:below`` (uris: the URI and every path above it).
    """

    __slots__ = (
        "clinical",
        "composites",
        "contained",
        "dates",
        "generation",
        "numbers",
        "patients",
        "positions",
        "quantities",
        "references",
        "strings",
        "tokens",
        "uris",
        "words",
    )

    def __init__(self) -> None:
        self.tokens: list[tuple[str, str, str]] = []
        self.strings: list[tuple[str, str]] = []
        self.dates: list[tuple[str, int, int]] = []
        self.numbers: list[tuple[str, float, float]] = []
        self.quantities: list[tuple[str, str, str, str, float, float]] = []
        self.references: list[tuple[str, str]] = []
        self.uris: list[tuple[str, str]] = []
        self.composites: list[tuple[str, tuple[tuple[tuple[Any, ...], ...], ...]]] = []
        self.positions: list[tuple[str, float, float]] = []
        self.words: list[tuple[str, str]] = []
        self.patients: tuple[str, ...] = ()
        self.contained: list[tuple[str, str, Values]] = []
        self.clinical: int | None = None
        self.generation = 0

    def contain(self, type_: str, id_: str, values: Values) -> None:
        """Note a contained resource, so that it is found by what it contains."""
        if all(type_ != named for named, _, _ in self.contained):
            self.tokens.append((CONTAINED, "", type_))
        self.contained.append((type_, id_, values))
