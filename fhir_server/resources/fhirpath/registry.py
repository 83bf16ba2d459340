"""The table of FHIRPath functions: each module of functions enters its own here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fhir_server.resources.fhirpath.scope import Closure, Items, Scope

Function = Callable[..., Items]
"""``(scope, input, *arguments) -> Items``; arguments are closures: each function decides their scope."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A function with the number of arguments that it takes."""

    run: Function
    least: int
    most: int


FUNCTIONS: dict[str, Entry] = {}


def function(name: str, least: int = 0, most: int | None = None) -> Callable[[Function], Function]:
    """Enter a function that takes ``least`` to ``most`` arguments under its FHIRPath name."""

    def enter(run: Function) -> Function:
        FUNCTIONS[name] = Entry(run, least, least if most is None else most)
        return run

    return enter


def each(scope: Scope, items: Items, argument: Closure) -> list[Items]:
    """Run ``argument`` once per item, with ``$this`` and ``$index`` set, and return what each run gave."""
    scope.run.spend(len(items))
    return [argument(Scope(scope.run, [item], i, scope.total)) for i, item in enumerate(items)]
