"""What is to be asked of the server for a piece: a transaction as it stands, or entries one by one.

https://hl7.org/fhir/R4/bundle.html and https://hl7.org/fhir/R4/http.html#transaction
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fhir_server.faults import Fault, Kind

Tree = dict[str, Any]

_URN = "urn:uuid:"
_ENTRY_BY_ENTRY = frozenset({"batch", "collection", "searchset"})
_KEPT_WHOLE = frozenset({"document", "message"})


def is_transaction(tree: Tree) -> bool:
    """Tell whether ``tree`` is a transaction, which is run as such: all or nothing."""
    return tree.get("resourceType") == "Bundle" and tree.get("type") == "transaction"


def entries(tree: Tree) -> list[tuple[str, Tree]]:
    """Return (where, entry of a batch) for each thing in ``tree``: the entries of a Bundle, or the resource.

    A resource with an id is put under it, so that loading it again changes nothing; one without is created.
    Documents and messages are kept whole, because they are signed and read as a whole. Raises Fault for
    Bundles that say what happened (histories, responses) instead of what is.
    """
    kind = tree.get("type") if tree.get("resourceType") == "Bundle" else None
    if kind is None or kind in _KEPT_WHOLE:
        return [("", _store(tree, None))]
    if kind not in _ENTRY_BY_ENTRY:
        raise Fault(
            Kind.UNPROCESSABLE,
            "A Bundle of this type cannot be loaded; load a transaction, batch, collection, searchset, "
            "document or message.",
            "Bundle.type",
        )
    listed = tree.get("entry", [])
    if not isinstance(listed, list):
        raise Fault(Kind.SYNTAX, "Bundle.entry must be a list.", "Bundle.entry")
    moved = {} if kind == "batch" else _new_addresses(listed)
    return [
        (f"Bundle.entry[{index}]", _entry(entry, moved, index))
        for index, entry in enumerate(listed)
        if not _is_outcome(entry)
    ]


def _entry(entry: Any, moved: dict[str, str], index: int) -> Tree:
    if not isinstance(entry, dict):
        raise Fault(Kind.SYNTAX, "An entry must be an object.", f"Bundle.entry[{index}]")
    if "request" in entry:
        return entry
    resource = _repointed(entry.get("resource", {}), moved) if moved else entry.get("resource", {})
    return _store(resource, moved.get(str(entry.get("fullUrl"))))


def _store(resource: Any, address: str | None) -> Tree:
    """Make the entry that puts a resource under its id, or creates it when it has none."""
    if not isinstance(resource, dict):
        raise Fault(Kind.SYNTAX, "A resource must be an object.")
    name = str(resource.get("resourceType", ""))
    if address is None and isinstance(resource.get("id"), str):
        address = f"{name}/{resource['id']}"
    if address is None:
        return {"resource": resource, "request": {"method": "POST", "url": name}}
    placed = {"resourceType": name, "id": address.partition("/")[2], **resource}
    return {"resource": placed, "request": {"method": "PUT", "url": address}}


def _new_addresses(listed: list[Any]) -> dict[str, str]:
    """Say which ``Type/id`` each ``urn:uuid:`` of a collection gets: its resource's id, else the UUID."""
    return {url: address for entry in listed for url, address in _new_address(entry)}


def _new_address(entry: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(entry, dict):
        return
    url, resource = entry.get("fullUrl"), entry.get("resource")
    if isinstance(url, str) and url.startswith(_URN) and isinstance(resource, dict):
        yield url, f"{resource.get('resourceType')}/{resource.get('id') or url.removeprefix(_URN)}"


def _repointed(value: Any, moved: dict[str, str]) -> Any:
    """Copy ``value`` with every ``reference`` to an entry of the collection turned into its new address."""
    if isinstance(value, dict):
        return {
            key: moved.get(item, item)
            if key == "reference" and isinstance(item, str)
            else _repointed(item, moved)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_repointed(item, moved) for item in value]
    return value


def _is_outcome(entry: Any) -> bool:
    """Tell whether an entry of a searchset is the server's remark, not a match."""
    search = entry.get("search") if isinstance(entry, dict) else None
    return isinstance(search, dict) and search.get("mode") == "outcome"
