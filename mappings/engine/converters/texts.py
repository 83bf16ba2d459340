"""Converters of text: as it is, split, joined, prefixed, inline tables, raw JSON."""

from __future__ import annotations

from decimal import Decimal
from random import Random
from typing import Any

import msgspec

from mappings.engine.converters.base import Converter, Options, as_text, chosen, words

_ALPHABET = "甲乙丙测试病案号ABCxyz0189-"
_DECODER = msgspec.json.Decoder(float_hook=Decimal)
_ENCODER = msgspec.json.Encoder(decimal_format="number")


def some_text(random: Random, alphabet: str = _ALPHABET) -> str:
    """Return a short random text without blanks at its ends."""
    return "".join(random.choice(alphabet) for _ in range(random.randint(1, 8)))


def _same(value: Any) -> Any:
    return as_text(value)


def text(options: Options) -> Converter:
    """Leave the text as it is."""
    chosen(options)
    return Converter("text", _same, _same, some_text)


def only(options: Options) -> Converter:
    """Take the listed values alone, as they are; any other counts as nothing: ``{only: {values: […]}}``."""
    values = words(chosen(options, values=())["values"])
    if not values:
        raise ValueError("'only' needs values, the ones to take.")
    return Converter(
        "only",
        lambda value: value if value in values else None,
        lambda value: value if value in values else None,
        lambda random: random.choice(values),
    )


def table(options: Options) -> Converter:
    """Translate by the pairs given in place: ``{map: {values: {native: fhir}}}``."""
    values = chosen(options, values={})["values"]
    if not isinstance(values, dict) or not values:
        raise ValueError("'map' needs values, an object of native: FHIR.")
    there = {str(native): value for native, value in values.items()}
    back: dict[Any, str] = {}
    for native, value in there.items():
        back.setdefault(value, native)

    def read(value: Any) -> Any:
        if value not in there:
            raise ValueError("The value is none of those that the map lists.")
        return there[value]

    def write(value: Any) -> Any:
        if isinstance(value, dict | list) or value not in back:
            raise ValueError("The element's value is none of those that the map lists.")
        return back[value]

    return Converter("map", read, write, lambda random: random.choice(tuple(back.values())))


def prefix(options: Options) -> Converter:
    """Put a prefix before the native text, and take it away on the way back: ``{prefix: {add: "urn:"}}``."""
    add = str(chosen(options, add="")["add"])

    def write(value: Any) -> str:
        if not str(value).startswith(add):
            raise ValueError(f"The element's value does not begin with '{add}'.")
        return str(value)[len(add) :]

    return Converter("prefix", lambda value: add + value, write, some_text)


def split(options: Options) -> Converter:
    """Split native text into a list, and join it on the way back: ``{split: {by: ","}}``."""
    by = str(chosen(options, by=",")["by"])

    def write(values: Any) -> str:
        texts = [str(value) for value in (values if isinstance(values, list) else [values])]
        if any(by in value for value in texts):
            raise ValueError(f"A value holds '{by}', which separates the values.")
        return by.join(texts)

    alphabet = _ALPHABET.replace(by, "")
    return Converter(
        "split",
        lambda value: [part.strip() for part in value.split(by) if part.strip()] or None,
        write,
        lambda random: by.join(some_text(random, alphabet) for _ in range(random.randint(1, 3))),
    )


def join(options: Options) -> Converter:
    """Join several native fields to one text: ``{join: {by: " "}}``; those behind the last value are empty.

    On the way back the text is split at ``by``; the last field takes the rest.
    """
    chosen_ = chosen(options, by=" ", count=2)
    by, count = str(chosen_["by"]), int(chosen_["count"])

    def read(values: tuple[Any, ...]) -> str | None:
        given = [value for value in values if value is not None]
        if values[: len(given)] != tuple(given):
            raise ValueError("A field is empty although a later one is not, so they cannot be joined.")
        if any(by in value for value in given[:-1]) or (len(given) < len(values) and by in given[-1]):
            raise ValueError(f"A field holds '{by}', which separates the fields.")
        return by.join(given)

    def write(value: Any) -> tuple[str | None, ...]:
        parts: list[str | None] = list(str(value).split(by, count - 1))
        return tuple(parts + [None] * (count - len(parts)))

    alphabet = _ALPHABET.replace(by, "")
    return Converter(
        "join",
        read,
        write,
        lambda random: tuple(some_text(random, alphabet) for _ in range(count)),
        many=True,
    )


def raw_json(options: Options) -> Converter:
    """Keep any native value as JSON text, so that an object, a text and a number stay what they were."""
    chosen(options)

    def read(value: Any) -> str:
        return _ENCODER.encode(value).decode()

    def write(value: Any) -> Any:
        try:
            return _DECODER.decode(str(value))
        except msgspec.DecodeError as error:
            raise ValueError("The element's value is no JSON.") from error

    def sample(random: Random) -> Any:
        return random.choice(({"a": some_text(random)}, some_text(random), [some_text(random)]))

    return Converter("json", read, write, sample)
