"""How a search is carried out, as names and numbers: nothing of a record or of what was searched for."""

from __future__ import annotations

from typing import Any

from fhir_server.store.sqlite.compile import Compiler
from fhir_server.store.sqlite.drive import PROBE, Driven
from fhir_server.store.sqlite.fragment import Conjunct, Cost

_BY = {Cost.POINT: "look-up", Cost.SET: "set", Cost.RECORD: "opened record"}


def describe(compiler: Compiler, type_: str, driven: Driven) -> dict[str, Any]:
    """Return which condition drives, how long its posting list is, and how each of the others tests.

    ``rows`` is counted up to a limit, "1000+" beyond it, and None where it was not worth counting.
    """
    plan: dict[str, Any] = {"type": type_, "driver": "every resource of the type"}
    if driven.driver is not None:
        plan["driver"] = driven.driver.label
        plan["rows"] = _size(driven.size)
        plan.update(_inside(compiler, driven.driver))
    plan["tests"] = [
        {"condition": test.label, "by": _BY[test.cost], **_inside(compiler, test)} for test in driven.tests
    ]
    return plan


def _size(size: int | None) -> int | str | None:
    return f"{PROBE}+" if size is not None and size >= PROBE else size


def _inside(compiler: Compiler, conjunct: Conjunct) -> dict[str, Any]:
    """Describe the other end of a chain."""
    if conjunct.inner is None:
        return {}
    type_, predicate = conjunct.inner
    return {"inside": describe(compiler, type_, compiler.drive(type_, predicate))}
