"""$meta, $meta-add, $meta-delete: profiles, tags and security labels, read and changed by themselves.

https://hl7.org/fhir/R4/resource-operation-meta.html, -meta-add.html and -meta-delete.html
"""

from __future__ import annotations

from typing import Any

from fhir_server.faults import Fault, Kind
from fhir_server.interactions.context import Context, Operation
from fhir_server.interactions.read import changeable, current, vread
from fhir_server.interactions.request import Reply, Tree
from fhir_server.interactions.update import succeed
from fhir_server.interactions.write import Draft, commit
from fhir_server.operations.arguments import parts
from fhir_server.resources.codec import decode, encode

Labels = dict[str, list[Any]]
"""profile (URLs), security and tag (Codings) of a Meta."""

_LISTS = ("profile", "security", "tag")


async def read_meta(context: Context) -> Reply:
    """Return the Meta of one resource or version; of a type or the server, all labels that are in use."""
    if context.request.version is not None:
        meta = decode((await vread(context)).body)["meta"]
    elif context.request.id is not None:
        meta = decode((await current(context, context.type, context.id)).body)["meta"]
    else:
        meta = await _in_use(context)
    return Reply(200, _parameters(meta))


async def _in_use(context: Context) -> Tree:
    found: Labels = {}
    async for stored in context.store.scan(context.visibility, context.request.type):
        meta = decode(stored.body).get("meta", {})
        for name in _LISTS:
            _union(found, name, meta.get(name, []))
    return dict(found)


async def add(context: Context) -> Reply:
    """Add labels to the current version; what is there already stays as it is."""
    return await _change(context, _added)


async def remove(context: Context) -> Reply:
    """Take labels off the current version; what is not there is no error."""
    return await _change(context, _removed)


async def _change(context: Context, apply: Any) -> Reply:
    if context.request.version is not None:
        raise Fault(Kind.NOT_IMPLEMENTED, "Versions do not change; label the current one: Type/id/$meta-add.")
    labels = _argument(context)

    async def draft(context: Context) -> Draft:
        stored = await changeable(context, context.id)
        tree = decode(stored.body)
        tree["meta"] = apply(tree["meta"], labels)
        return await succeed(context, tree, stored.id, stored, "PUT")

    reply = await commit(context, draft)
    stored = await changeable(context, context.id)
    return Reply(
        200, _parameters(decode(stored.body)["meta"]), reply.etag, reply.modified, resource=reply.resource
    )


def _argument(context: Context) -> Tree:
    for part in parts(context.request):
        if part.get("name") == "meta" and isinstance(part.get("valueMeta"), dict):
            meta: Tree = part["valueMeta"]
            if all(isinstance(meta.get(name, []), list) for name in _LISTS):
                return meta
    raise Fault(
        Kind.BAD_REQUEST,
        "Send a Parameters resource whose parameter meta has a valueMeta.",
        "Parameters.parameter",
    )


def _added(meta: Tree, labels: Tree) -> Tree:
    result: Labels = {name: list(meta[name]) for name in _LISTS if name in meta}
    for name in _LISTS:
        _union(result, name, labels.get(name, []))
    return {**meta, **result}


def _removed(meta: Tree, labels: Tree) -> Tree:
    result = dict(meta)
    for name in _LISTS:
        gone = [_identity(value) for value in labels.get(name, [])]
        kept = [value for value in meta.get(name, []) if _identity(value) not in gone]
        result.pop(name, None)
        if kept:
            result[name] = kept
    return result


def _union(found: Labels, name: str, values: list[Any]) -> None:
    for value in values:
        there = found.setdefault(name, [])
        if _identity(value) not in map(_identity, there):
            there.append(value)


def _identity(value: Any) -> Any:
    """Two Codings are the same label when system and code agree, whatever their display."""
    return (value.get("system"), value.get("code")) if isinstance(value, dict) else value


def _parameters(meta: Tree) -> bytes:
    parameter = {"parameter": [{"name": "return", "valueMeta": meta}]} if meta else {}
    return encode({"resourceType": "Parameters", **parameter})


def _operation(name: str, handler: Any, levels: set[Any], affects_state: bool) -> Operation:
    return Operation(
        name=f"${name}",
        handler=handler,
        levels=frozenset(levels),
        types=("*",),
        definition=f"http://hl7.org/fhir/OperationDefinition/Resource-{name}",
        affects_state=affects_state,
        right="u" if affects_state else "r",
    )


META = _operation("meta", read_meta, {"system", "type", "instance"}, False)
META_ADD = _operation("meta-add", add, {"instance"}, True)
META_DELETE = _operation("meta-delete", remove, {"instance"}, True)
