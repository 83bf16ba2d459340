"""Rules between a resource and what it contains. https://hl7.org/fhir/R4/references.html#contained"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_NESTED = "dom-2: a contained resource must not contain others; put them all into the outermost resource."
_UNUSED = "dom-3: nothing refers to this contained resource; refer to it by #id or leave it out."
_VERSIONED = "dom-4: a contained resource must have no meta.versionId and no meta.lastUpdated."
_LABELLED = "dom-5: a contained resource must have no meta.security; label the resource that contains it."
_SAME_ID = "Two contained resources have the same id; give each its own."


def problems(resource: dict[str, Any]) -> Iterator[tuple[int, str]]:
    """Yield (index in ``contained``, sentence) for every broken rule dom-2 to dom-5 and every id used twice.

    For dom-3 any string ``#id`` in the resource counts as a reference, since canonicals and URIs may be local
    too; so does ``#`` inside the contained resource, by which it names its container.
    """
    found = resource.get("contained")
    if type(found) is not list:
        return
    used = _fragments(resource)
    ids: set[str] = set()
    for index, each in enumerate(found):
        if type(each) is not dict:
            continue
        meta = each.get("meta")
        if "contained" in each:
            yield index, _NESTED
        if type(meta) is dict and ("versionId" in meta or "lastUpdated" in meta):
            yield index, _VERSIONED
        if type(meta) is dict and "security" in meta:
            yield index, _LABELLED
        own = each.get("id")
        if type(own) is not str or ("#" + own not in used and "#" not in _fragments(each)):
            yield index, _UNUSED
        elif own in ids:
            yield index, _SAME_ID
        else:
            ids.add(own)


def _fragments(tree: Any) -> set[str]:
    """Return every string of a tree that begins with ``#``."""
    found: set[str] = set()
    queue = [tree]
    while queue:
        value = queue.pop()
        if type(value) is dict:
            queue += value.values()
        elif type(value) is list:
            queue += value
        elif type(value) is str and value[:1] == "#":
            found.add(value)
    return found
