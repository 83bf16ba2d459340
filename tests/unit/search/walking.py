"""The plain meaning of what the generator writes: walk a path step by step, read what stands there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

from fhir_server.search import elements
from fhir_server.search.expressions import Equals, Get, Path
from fhir_server.search.values import Values

ZONE = ZoneInfo("Asia/Shanghai")


def follow(element: Any, path: Path) -> Iterator[Any]:
    """Walk a path step by step: the plain meaning of what is generated."""
    found = [element]
    for step in path.steps:
        if isinstance(step, Get):
            found = [e[step.key] for e in found if isinstance(e, dict) and e.get(step.key) is not None]
            if step.many:
                found = [item for e in found for item in (e if step.index is None else e[step.index :][:1])]
            found = [e for e in found if e is not None]
        elif isinstance(step, Equals):
            found = [e for e in found if e.get(step.key) == step.text]
        else:
            found = [e for e in found if elements.referred_type(e) == step.type]
    yield from found


def read(function: str, into: Values, code: str, element: Any) -> None:
    last = {"date": (ZONE,), "period": (ZONE,), "timing": (ZONE,), "reference": ("http://me/fhir",)}
    getattr(elements, function)(into, (code,), element, *last.get(function, ()))
