"""The small words of a map file: objects with known keys, lists, texts, flags, conditions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from mappings.engine.model import Condition, Issue, Position, Test
from mappings.engine.yamltree import Spot

Word = TypeVar("Word", bound=str)


@dataclass(slots=True)
class Problems:
    """The mistakes found so far."""

    issues: list[Issue] = field(default_factory=list)

    def add(self, at: Position, sentence: str) -> None:
        """Note a mistake."""
        self.issues.append(Issue("error", "structure", str(at), sentence))


def mapping(
    spot: Spot, problems: Problems, allowed: Collection[str] = (), needed: Collection[str] = ()
) -> dict[str, Spot]:
    """Read an object; keys that are not allowed, and needed ones that lack, are noted."""
    if not isinstance(spot.value, dict):
        problems.add(spot.at, "An object (key: value) is expected here.")
        return {}
    for key in spot.value:
        if allowed and key not in allowed:
            problems.add(
                spot.keys[key], f"The key '{key}' is not known here (keys: {', '.join(sorted(allowed))})."
            )
    for key in needed:
        if key not in spot.value:
            problems.add(spot.at, f"The key '{key}' is missing.")
    return spot.value


def items(spot: Spot | None, problems: Problems, *, optional: bool = False) -> list[Spot]:
    """Read a list; what is absent is an empty one."""
    if spot is None:
        return []
    if not isinstance(spot.value, list):
        if optional and isinstance(spot.value, dict):
            return [spot]
        problems.add(spot.at, "A list is expected here.")
        return []
    return spot.value


def text(spot: Spot | None, problems: Problems) -> str:
    """Read a text; "" when it is absent (whoever needs it has noted that)."""
    if spot is None:
        return ""
    if not isinstance(spot.value, str):
        problems.add(spot.at, "A text is expected here.")
        return ""
    return spot.value


def mixed(spot: Spot | None, problems: Problems) -> tuple[str, ...]:
    """Read one text or a list of texts."""
    if spot is None:
        return ()
    spots = spot.value if isinstance(spot.value, list) else [spot]
    return tuple(text(item, problems) for item in spots)


def word(spot: Spot | None, problems: Problems, allowed: Sequence[Word], default: Word) -> Word:
    """Read one of a few words."""
    if spot is None:
        return default
    found = text(spot, problems)
    for one in allowed:
        if found == one:
            return one
    problems.add(spot.at, f"One of {', '.join(name for name in allowed if name)} is expected here.")
    return default


def flag(spot: Spot | None, problems: Problems, *, default: bool) -> bool:
    """Read true or false."""
    if spot is None:
        return default
    if not isinstance(spot.data, bool):
        problems.add(spot.at, "true or false is expected here.")
        return default
    return spot.data


def condition(spot: Spot | None, problems: Problems) -> Condition:
    """Read ``{field: value}``, ``{field: [values]}``, present, absent, ``{not: …}``, ``{starts: …}``."""
    if spot is None:
        return ()
    return tuple(_test(path, value, problems) for path, value in mapping(spot, problems).items())


def _test(path: str, spot: Spot, problems: Problems) -> Test:
    if isinstance(spot.value, dict):
        if set(spot.value) == {"not"}:
            return Test(path, mixed(spot.value["not"], problems), negated=True)
        if set(spot.value) == {"starts"}:
            return Test(path, mixed(spot.value["starts"], problems), prefix=True)
        problems.add(
            spot.at, "A condition is a value, a list of values, present, absent, {not: …} or {starts: …}."
        )
        return Test(path, None)
    if spot.plain and spot.value in {"present", "absent"}:
        return Test(path, None, negated=spot.value == "absent")
    return Test(path, mixed(spot, problems))
