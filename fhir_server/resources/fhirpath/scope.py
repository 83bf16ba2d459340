"""What an expression sees while it runs: its context, its variables, and how much work it may still do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fhir_server import clock
from fhir_server.resources.fhirpath.ast import FhirPathError
from fhir_server.resources.fhirpath.node import Node, wrap

Items = list[Node]
Resolver = Callable[[str], Any]
_BUDGET = 2_000_000
"""Items that one evaluation may look at, so that a user's expression cannot hold the server."""
_RESERVED = frozenset({"resource", "rootResource", "context", "resolve", "now"})


class Run:
    """One evaluation: the nodes behind ``%resource``, ``%rootResource`` and ``%context``, and the work left.

    ``env`` keys: ``resource``, ``rootResource``, ``context`` (trees), ``resolve`` (a callable: reference →
    tree or None), ``now`` (milliseconds since the epoch); any other key is a variable of that name.
    ``trusted``: the expression is R4's own, so its regular expressions are not searched for danger, and a
    comparison that cannot be decided (different precision or unit) counts as true, because a rule must be
    *broken* to refuse.
    """

    __slots__ = ("budget", "context", "now", "resolver", "resource", "root", "trusted", "variables")

    def __init__(self, focus: Node, env: Mapping[str, Any], *, trusted: bool = False) -> None:
        self.context = wrap(env["context"], focus.type_name) if "context" in env else focus
        self.resource = wrap(env["resource"]) if "resource" in env else focus
        self.root = wrap(env["rootResource"]) if "rootResource" in env else self.resource
        self.resolver: Resolver | None = env.get("resolve")
        self.now: int | None = env.get("now")
        self.variables = env
        self.trusted = trusted
        self.budget = _BUDGET

    def moment_ms(self) -> int:
        """Return the one time of this evaluation, in milliseconds since the epoch."""
        if self.now is None:
            self.now = clock.now_ms()
        return self.now

    def spend(self, work: int) -> None:
        """Count ``work`` items; raise FhirPathError when there were too many."""
        self.budget -= work
        if self.budget < 0:
            raise FhirPathError("the expression takes too much work on this resource; make it more exact")

    def variable(self, name: str) -> Items:
        """Return the items of a variable that ``env`` gave; nothing when there is none of that name."""
        value = None if name in _RESERVED else self.variables.get(name)
        if value is None:
            return []
        return [wrap(each) for each in (value if type(value) is list else [value])]


class Scope:
    """The inside of a function's argument: ``$this`` (a collection), ``$index`` and ``$total``."""

    __slots__ = ("index", "run", "this", "total")

    def __init__(self, run: Run, this: Items, index: int = 0, total: Items | None = None) -> None:
        self.run = run
        self.this = this
        self.index = index
        self.total = total


Closure = Callable[[Scope], Items]


def truth(items: Items) -> bool | None:
    """Read a collection as a boolean: empty is unknown, one item that is no boolean is true.

    http://hl7.org/fhirpath/N1/#singleton-evaluation-of-collections
    """
    if not items:
        return None
    if len(items) > 1:
        raise FhirPathError("a single true or false is needed, but there are several items")
    value = items[0].value
    if type(value) is bool:
        return value
    return None if value is None and items[0].type_name == "boolean" else True
