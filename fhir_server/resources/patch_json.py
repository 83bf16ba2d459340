"""JSON Patch on a resource's tree.

https://hl7.org/fhir/R4/http.html#patch and https://www.rfc-editor.org/rfc/rfc6902
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from jsonpatch import InvalidJsonPatch, JsonPatch, JsonPatchConflict, JsonPatchTestFailed
from jsonpointer import JsonPointer, JsonPointerException

from fhir_server.faults import Fault, Kind
from fhir_server.resources.codec import MAX_DEPTH, Tree, scan

MAX_COPIED = 100_000
"""Keys that the copy operations of one patch may copy: thirty copies of a whole into itself are a billion."""


def apply(tree: Tree, patch: list[Any]) -> Tree:
    """Return ``tree`` with the operations of ``patch`` done in order; both stay as they were.

    Decimals are moved and compared as they are. Does not check that the result is a valid resource, nor that
    it has kept its type and id. Faults say which operation and never quote a value: BAD_REQUEST when the
    patch itself is malformed; UNPROCESSABLE when a path leads nowhere, a test does not hold, or the result is
    no object or too deep.
    """
    document: Any = deepcopy(tree)
    budget = MAX_COPIED
    for index, operation in enumerate(deepcopy(patch)):
        try:
            one = _checked(operation)
            budget -= _copied(document, operation)
            if budget < 0:
                raise Fault(Kind.UNPROCESSABLE, "The patch copies too much; send the values instead.")
            document = one.apply(document, in_place=True)
        except JsonPatchTestFailed:
            raise _fault(Kind.UNPROCESSABLE, index, operation, "the test does not hold") from None
        except InvalidJsonPatch as error:
            raise _fault(Kind.BAD_REQUEST, index, operation, _words(error)) from None
        except (JsonPatchConflict, JsonPointerException):
            raise _fault(Kind.UNPROCESSABLE, index, operation, "the path leads to no place in it") from None
        except RecursionError:
            raise _fault(Kind.UNPROCESSABLE, index, operation, "it nests too deep") from None
    if type(document) is not dict:
        raise Fault(Kind.UNPROCESSABLE, "The patch leaves no object; a resource must stay a resource.")
    if scan(document).depth > MAX_DEPTH:
        raise Fault(Kind.UNPROCESSABLE, f"The patched resource nests deeper than {MAX_DEPTH} levels.")
    return document


def _checked(operation: Any) -> JsonPatch:
    """Return a patch of one operation whose form is right, whether or not it fits the document."""
    if type(operation) is not dict:
        raise InvalidJsonPatch("an operation is an object")
    for name in ("path", "from"):
        pointer = operation.get(name, "")
        if type(pointer) is not str:
            raise InvalidJsonPatch(f"'{name}' must be a string")
        try:
            JsonPointer(pointer)
        except JsonPointerException:
            raise InvalidJsonPatch(f"'{name}' is no JSON Pointer") from None
    return JsonPatch([operation])


def _copied(document: Any, operation: Tree) -> int:
    """Count the keys that a copy copies, at least one; 0 for any other operation."""
    if operation["op"] != "copy" or "from" not in operation:
        return 0
    source = JsonPointer(operation["from"]).resolve(document)
    return 1 + (scan(source).keys if type(source) in (dict, list) else 0)


def _fault(kind: Kind, index: int, operation: Any, words: str) -> Fault:
    name = operation.get("op") if type(operation) is dict else None
    said = f" ({name})" if name in ("add", "remove", "replace", "move", "copy", "test") else ""
    return Fault(kind, f"Operation {index + 1} of the patch{said}: {words}. Nothing was changed.")


def _words(error: InvalidJsonPatch) -> str:
    """Say what is wrong with an operation's form, in the library's words unless they quote the client."""
    text = str(error)
    if text.startswith("Unknown operation"):
        return "op must be add, remove, replace, move, copy or test"
    return text.rstrip(".")[:100]
