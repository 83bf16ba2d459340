"""Put resources into a transaction Bundle whose entries refer to each other by ``urn:uuid``.

https://hl7.org/fhir/R4/http.html#transaction
"""

from __future__ import annotations

from random import Random
from typing import Any
from uuid import UUID

Tree = dict[str, Any]
"""A resource: numbers with a point are Decimal, so that their digits stay as written."""


class Entries:
    """Collects the entries of one transaction; :meth:`add` gives the reference that others use."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._entries: list[Tree] = []
        self._unique: dict[str, Tree] = {}

    def add(self, resource: Tree) -> Tree:
        """Add a create and return a Reference to what it will make."""
        return self._append(resource, {"method": "POST", "url": resource["resourceType"]})

    def add_once(self, resource: Tree) -> Tree:
        """Add a conditional create by the resource's first identifier; the same one again adds nothing.

        https://hl7.org/fhir/R4/http.html#ccreate
        """
        identifier = resource["identifier"][0]
        criteria = f"identifier={identifier['system']}|{identifier['value']}"
        key = f"{resource['resourceType']}?{criteria}"
        if key not in self._unique:
            request = {"method": "POST", "url": resource["resourceType"], "ifNoneExist": criteria}
            self._unique[key] = self._append(resource, request)
        return self._unique[key]

    def _append(self, resource: Tree, request: Tree) -> Tree:
        url = f"urn:uuid:{UUID(int=self._random.getrandbits(128), version=4)}"
        self._entries.append({"fullUrl": url, "resource": resource, "request": request})
        return {"reference": url}

    def bundle(self) -> Tree:
        """Return the transaction."""
        return {"resourceType": "Bundle", "type": "transaction", "entry": self._entries}
