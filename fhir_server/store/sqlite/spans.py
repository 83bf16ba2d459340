"""Comparisons of stored spans [lo, hi] as SQL, and the bounds on ``lo`` between which the index is scanned.

https://hl7.org/fhir/R4/search.html#prefix
"""

from __future__ import annotations

from dataclasses import dataclass

from fhir_server.search.predicate import DateIs, NumberIs

Bound = int | float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """``condition``: SQL over ``{lo}`` and ``{hi}`` with ``args``, exact for every row.

    ``least`` and ``greatest`` bound ``lo`` (both included) for every row that passes; ``least_if_simple`` is
    the tighter bound for simple rows, None where the plain one is as good.
    """

    condition: str
    args: tuple[int | float, ...]
    least: Bound = None
    greatest: Bound = None
    least_if_simple: Bound = None

    def bounds(self, *, simple: bool) -> tuple[Bound, Bound]:
        """Return the least and the greatest ``lo`` of the rows that can pass."""
        if simple and self.least_if_simple is not None:
            return self.least_if_simple, self.greatest
        return self.least, self.greatest


def date_comparison(test: DateIs, width: int) -> Comparison:  # noqa: PLR0911 - one case for each prefix
    """Compare with a span of time; simple rows are at most ``width`` milliseconds long."""
    slo, shi = test.lo, test.hi
    match test.prefix:
        case "eq":
            return Comparison("{lo}>=? AND {hi}<=?", (slo, shi), least=slo, greatest=shi)
        case "ne":
            return Comparison("NOT ({lo}>=? AND {hi}<=?)", (slo, shi))
        case "gt":
            return Comparison("{hi}>?", (shi,), least_if_simple=shi - width)
        case "lt":
            return Comparison("{lo}<?", (slo,), greatest=slo)
        case "ge":
            # Above, or within: within cannot start before slo, above starts no earlier than shi - width.
            least = min(slo, shi - width)
            return Comparison("({hi}>? OR ({lo}>=? AND {hi}<=?))", (shi, slo, shi), least_if_simple=least)
        case "le":
            return Comparison("({lo}<? OR ({lo}>=? AND {hi}<=?))", (slo, slo, shi), greatest=shi)
        case "sa":
            return Comparison("{lo}>?", (shi,), least=shi)
        case "eb":
            return Comparison("{hi}<?", (slo,), greatest=slo)
        case "ap":
            return Comparison("{lo}<=? AND {hi}>=?", (shi, slo), greatest=shi, least_if_simple=slo - width)


def number_comparison(test: NumberIs) -> Comparison:  # noqa: PLR0911 - one case for each prefix
    """Compare with a number and its implicit precision [lo, hi); simple rows are single points."""
    value, nlo, nhi = test.value, test.lo, test.hi
    match test.prefix:
        case "eq":
            return Comparison("{lo}>=? AND {hi}<?", (nlo, nhi), least=nlo, greatest=nhi)
        case "ne":
            return Comparison("NOT ({lo}>=? AND {hi}<?)", (nlo, nhi))
        case "gt":
            return Comparison("{hi}>?", (value,), least_if_simple=value)
        case "lt":
            return Comparison("{lo}<?", (value,), greatest=value)
        case "ge":
            return Comparison("{hi}>=?", (value,), least_if_simple=value)
        case "le":
            return Comparison("{lo}<=?", (value,), greatest=value)
        case "sa":
            return Comparison("{lo}>?", (value,), least=value)
        case "eb":
            return Comparison("{hi}<?", (value,), greatest=value)
        case "ap":
            return Comparison("{hi}>=? AND {lo}<?", (nlo, nhi), greatest=nhi, least_if_simple=nlo)
