"""Random resources and random questions about them, from one seed: thousands a second.

Values are few, so that they meet; whatever a predicate or a sort can say is said sooner or later.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Final

from fhir_server.search.fold import fold
from fhir_server.search.predicate import (
    EVERYTHING,
    All,
    AnyOf,
    Chain,
    Contains,
    DateIs,
    Has,
    HasWords,
    IdIn,
    Near,
    Not,
    NumberIs,
    Predicate,
    Prefix,
    Present,
    QuantityIs,
    ReferenceIs,
    StringContains,
    StringEnds,
    StringIs,
    StringStarts,
    Test,
    Together,
    TokenIn,
    TokenIs,
    UriIs,
    Where,
)
from fhir_server.search.query import Sort

DAY: Final = 86_400_000
PREFIXES: Final[tuple[Prefix, ...]] = ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")
WORDS: Final = (
    "Li",
    "li",
    "Liu",
    "Müller",
    "muller",
    "张三",
    "张",
    "x" * 64,
    "x" * 66,
    "x" * 66 + "y",
    "",
    "İ",
)
PARTS: Final = (*WORDS, "i", "u", "三", "xy", "ll")
SYSTEMS, CODES, UNITS = ("", "s", "t"), ("a", "b", "c"), ("", "mg", "g")
IDS: Final = tuple(f"r{number}" for number in range(8))
MOMENTS: Final = (0, 1, DAY // 2, DAY - 1, DAY, 2 * DAY, 3 * DAY, 40 * DAY)
LENGTHS: Final = (0, 1, DAY - 1, DAY, DAY + 1, 30 * DAY)
NUMBERS: Final = (-2.0, -0.5, 0.0, 1.0, 1.5, 2.0, 10.0)
LATITUDES, LONGITUDES = (30.66, 30.67, 31.2, -33.9, 89.99), (104.06, 104.07, 121.5, -179.99, 179.99)
METRES: Final = (0.0, 2_000.0, 200_000.0, 3e6, 1e9)
PARAMS: Final = (
    "code",
    "name",
    "date",
    "_lastUpdated",
    "factor",
    "value",
    "subject",
    "url",
    "near",
    "_text",
    "pair",
    "placed",
)
COMPOSITES: Final = ("pair", "measured", "dated", "said", "linked", "placed")
UPDATES: Final = ((), (1000,), (1000,), (2000,), (1000, 2000))
"""Times of an update that a body may name: the first version is written at 1000, the second at 2000."""
SORTED: Final = ("code", "name", "date", "factor", "value", "subject", "url", "_id", "unheard-of")

Raw = dict[str, Any]


class World:
    """One world: two types, their resources as ``store_world.change`` takes them, and questions."""

    def __init__(self, seed: int, types: tuple[str, str]) -> None:
        self._random = random = Random(seed)
        self._types = types
        self._targets = [f"{to}/{each}" for to in types for each in IDS[:3]] + ["http://x/a"]
        # In some worlds everything has one short date or number, as simple index rows ask for.
        self._is_plain = self._maybe(0.4)
        # Elements of few parameters meet in one resource, where their components must not be mixed up.
        self._composites = random.sample(COMPOSITES, 2)

    def resources(self) -> dict[tuple[str, str], Raw]:
        """Make some resources of each type."""
        return {
            (type_, id_): self._values()
            for type_ in self._types
            for id_ in self._random.sample(IDS, self._random.randint(0, len(IDS)))
        }

    def predicate(self, depth: int = 3) -> Predicate:
        """Ask something."""
        if depth == 0 or self._maybe(0.4):
            return self.leaf()
        inner = [self.predicate(depth - 1) for _ in range(self._random.randint(2, 3))]
        makers: list[Callable[[], Predicate]] = [
            lambda: All(tuple(inner)),
            lambda: All(tuple(inner)),
            lambda: AnyOf(tuple(inner)),
            lambda: Not(inner[0]),
            lambda: Chain("subject", self._pick(self._types), inner[0]),
            lambda: Has(self._pick(self._types), "subject", inner[0]),
            self.contains,
        ]
        return self._random.choice(makers)()

    def contains(self) -> Predicate:
        """Ask about what is contained, which leads nowhere else."""
        one, other = self.leaf(), self.leaf()
        inner = self._pick((one, All((one, other)), AnyOf((one, other)), Not(one), EVERYTHING))
        return Contains(self._pick((*self._types, "Unheard")), inner)

    def leaf(self) -> Predicate:
        """Ask about one value."""
        random, tests = self._random, self._tests
        makers: list[Callable[[], Predicate]] = [
            lambda: Where("code", random.choice((tests.token, tests.member))()),
            lambda: Where("name", random.choice((tests.starts, tests.contains, tests.ends, tests.exact))()),
            lambda: Where("date", tests.date()),
            lambda: All((Where("date", tests.date()), Where("date", tests.date()))),
            lambda: Where("_lastUpdated", tests.moment()),
            lambda: Where("factor", tests.number()),
            lambda: Where("value", tests.quantity()),
            lambda: Where("subject", tests.reference()),
            lambda: Where("url", tests.uri()),
            lambda: Where("near", tests.near()),
            lambda: Where("_text", tests.words()),
            lambda: Where(random.choice((*PARAMS, "unheard-of")), Present()),
            lambda: IdIn(tuple(random.choices(IDS, k=random.randint(0, 3)))),
            self.composite,
            self.composite,
            lambda: EVERYTHING,
        ]
        return random.choice(makers)()

    def composite(self) -> Predicate:
        """Ask about the components of one element."""
        tests = self._tests
        others: dict[str, tuple[Callable[[], Test], ...]] = {
            "pair": (tests.token, tests.member),
            "measured": (tests.quantity,),
            "dated": (tests.date,),
            "said": (tests.starts, tests.contains, tests.ends, tests.exact),
            "linked": (tests.reference, tests.uri),
            "placed": (tests.number,),
        }
        param = self._random.choice((*self._composites, "unheard-of"))
        among = others.get(param, (tests.token,))
        rest = [self._random.choice(among)() for _ in range(2 if param == "placed" else 1)]
        return Together(param, (tests.token(), *rest))

    def sorts(self) -> tuple[Sort, ...]:
        """Ask for an order."""
        if self._maybe(0.4):
            return (Sort("date", self._maybe(0.5)),)
        number = self._random.choice((0, 0, 1, 2))
        return tuple(Sort(self._pick(SORTED), self._maybe(0.5)) for _ in range(number))

    @property
    def _tests(self) -> _Tests:
        return _Tests(self._random, self._targets)

    def _values(self) -> Raw:
        number = self._pick((0, 0, 1, 2, 3))
        inside = [[self._pick(self._types), self._pick(IDS), self._flat()] for _ in range(number)]
        return {**self._flat(), "contained": inside}

    def _flat(self) -> Raw:
        dates = self._spread("date", self._span)
        some = self._some
        return {
            "tokens": some(lambda: ["code", self._pick(SYSTEMS), self._pick(CODES)]),
            "strings": some(lambda: ["name", self._pick(WORDS)]),
            "dates": [*dates, *(["_lastUpdated", at, at] for at in self._pick(UPDATES))],
            "numbers": self._spread("factor", self._range),
            "quantities": some(lambda: ["value", *self._quantity()]),
            "references": some(lambda: ["subject", self._pick(self._targets)]),
            "uris": some(lambda: ["url", self._pick(CODES)]),
            "positions": some(lambda: ["near", self._pick(LATITUDES), self._pick(LONGITUDES)]),
            "words": some(lambda: ["_text", self._pick(CODES)]),
            "composites": some(self._element),
            "clinical": dates[0][1] if dates else None,
        }

    def _element(self) -> list[Any]:
        seconds: dict[str, Callable[[], list[Any]]] = {
            "pair": lambda: ["token", self._pick(SYSTEMS), self._pick(CODES)],
            "measured": lambda: ["quantity", *self._quantity()],
            "dated": lambda: ["date", *self._span()],
            "said": lambda: ["string", self._pick(WORDS)],
            "linked": lambda: self._pick(
                [["reference", self._pick(self._targets)], ["uri", self._pick(CODES)]]
            ),
            "placed": lambda: ["number", *self._range()],
        }
        param = self._pick(self._composites)
        first = self._some(lambda: ["token", self._pick(SYSTEMS), self._pick(CODES)])
        others = [self._some(seconds[param]) for _ in range(2 if param == "placed" else 1)]
        return [param, [first, *others]]

    def _quantity(self) -> list[Any]:
        return [self._pick(SYSTEMS), self._pick(UNITS), self._pick(UNITS), *self._range()]

    def _spread(self, param: str, span: Callable[[], tuple[float, float]]) -> list[list[Any]]:
        rows = [[param, *span()] for _ in range(1 if self._is_plain else self._random.randint(0, 2))]
        return rows if not self._is_plain or self._maybe(0.8) else []

    def _span(self) -> tuple[int, int]:
        lo = self._pick(MOMENTS)
        return lo, lo + (self._pick(LENGTHS[:4]) if self._is_plain else self._pick(LENGTHS))

    def _range(self) -> tuple[float, float]:
        lo = self._pick(NUMBERS)
        return (lo, lo) if self._is_plain or self._maybe(0.6) else (lo, lo + abs(self._pick(NUMBERS)))

    def _some(self, make: Callable[[], list[Any]]) -> list[list[Any]]:
        return [make() for _ in range(self._random.choice((0, 1, 1, 2)))]

    def _pick(self, among: Any) -> Any:
        return self._random.choice(among)

    def _maybe(self, share: float) -> bool:
        return self._random.random() < share


class _Tests:
    """Random tests of single values."""

    def __init__(self, random: Random, targets: list[str]) -> None:
        self._random = random
        self._pick = random.choice
        self._targets = targets

    def token(self) -> Test:
        return TokenIs(self._pick((None, *SYSTEMS)), self._pick((None, *CODES)))

    def member(self) -> Test:
        count = self._random.randint(0, 4)
        members = {(self._pick((None, *SYSTEMS)), self._pick(CODES)) for _ in range(count)}
        # Many members are read as a set, few are looked up.
        return TokenIn(frozenset(members | self._pick((set(), {("s", f"none-{n}") for n in range(20)}))))

    def starts(self) -> Test:
        return StringStarts(fold(self._pick(PARTS)))

    def contains(self) -> Test:
        return StringContains(fold(self._pick(PARTS)))

    def ends(self) -> Test:
        return StringEnds(fold(self._pick(PARTS)), self._random.random() < 0.5)

    def exact(self) -> Test:
        return StringIs(self._pick(WORDS))

    def moment(self) -> DateIs:
        lo = self._pick((999, 1000, 1001, 2000))
        return DateIs(self._pick(PREFIXES), lo, lo + self._pick((0, 0, 500)))

    def date(self) -> DateIs:
        lo = self._pick(MOMENTS)
        return DateIs(self._pick(PREFIXES), lo, lo + self._pick(LENGTHS))

    def number(self) -> NumberIs:
        value, half = self._pick(NUMBERS), self._pick((0.05, 0.5, 1.0))
        return NumberIs(self._pick(PREFIXES), value, value - half, value + half)

    def quantity(self) -> Test:
        return QuantityIs(self.number(), self._pick((None, *SYSTEMS)), self._pick((None, "mg", "g")))

    def reference(self) -> Test:
        return ReferenceIs(tuple(self._random.choices(self._targets, k=self._random.randint(0, 3))))

    def uri(self) -> Test:
        return UriIs(self._pick(CODES))

    def near(self) -> Test:
        return Near(self._pick(LATITUDES), self._pick(LONGITUDES), self._pick(METRES))

    def words(self) -> Test:
        return HasWords(frozenset(self._random.sample(CODES, self._random.randint(0, 2))))
