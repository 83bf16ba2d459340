"""What of a Patient tells people apart, brought into one form so that two records can be compared."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fhir_server.search.fold import fold
from fhir_server.search.sounds import sounds

Tree = dict[str, Any]

_ID_NUMBER = re.compile(r"\d{17}[\dX]", re.ASCII)
_FACTORS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECKS = "10X98765432"
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_COUNTRY = "86"


@dataclass(frozen=True, slots=True)
class Name:
    """One name: its parts folded and in order, the same joined, and how the Chinese of it sounds."""

    parts: tuple[str, ...]
    joined: str
    sounds: frozenset[str]


@dataclass(frozen=True, slots=True)
class Features:
    """A Patient for comparison. ``identifiers``: (system, value), without resident ID numbers (身份证号)."""

    id_numbers: frozenset[str]
    identifiers: frozenset[tuple[str, str]]
    names: tuple[Name, ...]
    birth_date: str
    gender: str
    phones: frozenset[str]


def features(tree: Tree) -> Features:
    """Return what tells this Patient from others; elements that are missing or odd are left out."""
    pairs = set(_pairs(tree))
    numbers = {value.upper() for _, value in pairs if is_id_number(value)}
    return Features(
        id_numbers=frozenset(numbers),
        identifiers=frozenset(pair for pair in pairs if not is_id_number(pair[1])),
        names=tuple(dict.fromkeys(name for each in _items(tree, "name") for name in _names(each))),
        birth_date=_matching(_DATE, tree.get("birthDate")),
        gender=tree["gender"] if tree.get("gender") in ("male", "female") else "",
        phones=frozenset(_phones(tree)),
    )


def is_id_number(text: str) -> bool:
    """Say whether ``text`` is a resident ID number (GB 11643): 18 characters and a check digit that fits."""
    number = text.upper()
    if not _ID_NUMBER.fullmatch(number):
        return False
    total = sum(int(digit) * factor for digit, factor in zip(number, _FACTORS, strict=False))
    return _CHECKS[total % 11] == number[17]


def phone(text: str) -> str:
    """Return the digits of a telephone number without the country code of China; "" when too few."""
    digits = re.sub(r"\D", "", text).removeprefix("00")
    if len(digits) > 11:
        digits = digits.removeprefix(_COUNTRY)
    return digits if len(digits) >= 7 else ""


def full_sounds(name: Name) -> frozenset[str]:
    """Return how the whole name is said: its pinyin without initials, or a Latin name in either order."""
    if not name.sounds:
        return (
            frozenset({name.joined, "".join(reversed(name.parts))}) if name.joined.isascii() else frozenset()
        )
    longest = max(map(len, name.sounds))
    # Initials have one letter for a character, full pinyin more.
    return frozenset(each for each in name.sounds if len(each) > len(name.joined) or len(each) == longest)


def _items(tree: Tree, key: str) -> Iterator[Tree]:
    found = tree.get(key)
    if isinstance(found, list):
        yield from (each for each in found if isinstance(each, dict))


def _pairs(tree: Tree) -> Iterator[tuple[str, str]]:
    for each in _items(tree, "identifier"):
        value = each.get("value")
        if isinstance(value, str) and value.strip() and each.get("use") != "old":
            yield str(each.get("system") or ""), value.strip()


def _phones(tree: Tree) -> Iterator[str]:
    for each in _items(tree, "telecom"):
        if each.get("system") in ("phone", "sms", None) and isinstance(each.get("value"), str):
            digits = phone(each["value"])
            if digits:
                yield digits


def _names(name: Tree) -> Iterator[Name]:
    given = name.get("given")
    listed = [each for each in given if isinstance(each, str)] if isinstance(given, list) else []
    family = name.get("family")
    parts = [family, *listed] if isinstance(family, str) else listed
    if parts:
        yield _name(parts, "".join(parts))
    text = name.get("text")
    if isinstance(text, str) and text.strip():
        yield _name(text.split(), text)


def _name(parts: list[str], text: str) -> Name:
    folded = tuple(each for each in (fold(part) for part in parts) if each)
    return Name(folded, "".join(folded), frozenset(sounds("".join(text.split()))))


def _matching(pattern: re.Pattern[str], text: Any) -> str:
    return text if isinstance(text, str) and pattern.fullmatch(text) else ""
