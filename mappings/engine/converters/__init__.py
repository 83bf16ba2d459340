"""Converters: small two-way pairs of functions, by the names that maps call them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mappings.engine.codes import CodeTable
from mappings.engine.converters import coded, identifiers, measures, numbers, texts, times
from mappings.engine.converters.base import Converter, Options, Warned

__all__ = ["CONVERTERS", "Converter", "Options", "Use", "Warned", "chain", "make"]

CONVERTERS: dict[str, Callable[[Options], Converter]] = {
    "boolean": numbers.boolean,
    "bound": measures.bound,
    "cn-id": identifiers.cn_id,
    "constant": measures.constant,
    "date": times.date_,
    "datetime": times.datetime_,
    "decimal": numbers.decimal,
    "gender": coded.gender,
    "integer": numbers.integer,
    "join": texts.join,
    "json": texts.raw_json,
    "map": texts.table,
    "measured": measures.measured,
    "money": numbers.money,
    "only": texts.only,
    "phone": identifiers.phone,
    "prefix": texts.prefix,
    "scale": numbers.scale,
    "split": texts.split,
    "text": texts.text,
    "unmeasured": measures.unmeasured,
}
"""Every converter that a map may name; docs/mappings.md lists them (tested)."""

MANY = frozenset({"join", "measured", "unmeasured"})
"""Converters that take several source fields at once."""


def make(name: str, options: Options) -> Converter:
    """Make a converter; ValueError with a sentence when the name or an option is not known."""
    if name not in CONVERTERS:
        raise ValueError(f"'{name}' is no converter (converters: {', '.join(sorted(CONVERTERS))}).")
    return CONVERTERS[name](options)


@dataclass(frozen=True, eq=False, slots=True)
class Use:
    """A converter as a pair names it: it is made when the zone is known. ``table`` and ``form``: of codes."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    table: CodeTable | None = None
    form: str = "code"

    @property
    def many(self) -> bool:
        """True when it takes several source fields at once."""
        return self.name in MANY

    def make(self, zone: str = "+08:00") -> Converter:
        """Make the converter; ValueError with a sentence when something in its options does not hold."""
        if self.table is not None:
            return coded.by_table(self.table, self.form)
        return make(self.name, {**self.options, "zone": zone})


def chain(converters: Sequence[Converter]) -> Converter:
    """Make one converter of several: applied in order, and backwards on the way back."""
    if len(converters) == 1:
        return converters[0]

    def read(value: Any) -> Any:
        sentences = []
        for converter in converters:
            value = converter.read(value)
            if isinstance(value, Warned):
                sentences.append(value.sentence)
                value = value.value
            if value is None:
                return None
        return Warned(value, " ".join(sentences)) if sentences else value

    def write(value: Any) -> Any:
        for converter in reversed(converters):
            value = converter.write(value)
            if value is None:
                return None
        return value

    first = converters[0]
    return Converter(
        " → ".join(converter.name for converter in converters),
        read,
        write,
        # The first one's sample need not suit the others: what they make of it and back is canonical.
        lambda random: write(read(first.sample(random))),
        many=first.many,
        warns=any(converter.warns for converter in converters),
    )
