"""Where a check stands: the innermost resource, the outermost, the element ids seen so far."""

from __future__ import annotations

from typing import Any


class Scene:
    """What rules may look at besides their own element.

    ``resource`` is FHIRPath's ``%resource`` (the contained one inside a contained resource), ``root`` its
    ``%rootResource`` (the one that contains). An entry of a Bundle is a root of its own.
    """

    __slots__ = ("ids", "resource", "root")

    def __init__(self, resource: dict[str, Any], root: dict[str, Any]) -> None:
        self.resource = resource
        self.root = root
        self.ids: list[str] = []
