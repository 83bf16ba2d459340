"""The OpenAPI 3.1 document, made from the route table: all types share one ``{type}`` parameter.

https://spec.openapis.org/oas/v3.1.0; the CapabilityStatement at /metadata says more, in FHIR's words.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from fhir_server.faults import Kind
from fhir_server.operations.converting.given import ARGUMENTS, IN_BODY_ONLY, REPEATED
from fhir_server.resources.types import RESOURCE_TYPES
from fhir_server.rest.negotiate import Format
from fhir_server.rest.routes import BASE_PATH, COMPARTMENTS, ROUTES, Route

_ID = {"type": "string", "pattern": r"^[A-Za-z0-9\-.]{1,64}$"}
_SEARCHES = frozenset({"search-type", "search-system", "search-compartment"})
_PAGED = _SEARCHES | {"history-instance", "history-type", "history-system"}
_PATCH_JSON = "application/json-patch+json"
_FORM = "application/x-www-form-urlencoded"
_CONVERT = "/$convert"
_ANY = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
"""Content of any other media type, as $convert takes it and gives it."""
# Where an operation answers with what it did, or a create with what it made, is the interaction's choice.
_SUCCESS = {
    "create": ("200", "201"),
    "update": ("200", "201"),
    "patch": ("200",),
    "delete": ("200", "204"),
    "operation": ("200", "201", "202", "204"),
    "read": ("200", "304"),
    "vread": ("200", "304"),
}
_FAULTS = tuple(sorted({str(kind.status) for kind in Kind}))

_PARAMETERS: dict[str, Any] = {
    "compartment": {"type": "string", "enum": sorted(COMPARTMENTS)},
    "type": {"type": "string", "enum": sorted(RESOURCE_TYPES)},
    "target": {"type": "string", "enum": sorted(RESOURCE_TYPES)},
    "id": _ID,
    "version": _ID,
    "operation": {"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9-]{0,63}$"},
}


@cache
def document() -> bytes:
    """Return the document as JSON bytes."""
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        item = paths.setdefault(route.path, {})
        item[route.method.lower()] = _operation(route)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "FHIR R4 server",
                "version": "4.0.1",
                "description": "The FHIR R4 REST interface. GET /metadata gives the CapabilityStatement.",
            },
            "servers": [{"url": BASE_PATH}],
            "paths": paths,
            "components": {
                "schemas": {"Resource": _resource(), "OperationOutcome": _outcome()},
                "responses": {
                    "Refused": {"description": "Refused, and why.", "content": _content("OperationOutcome")}
                },
                "parameters": {name: _path_parameter(name) for name in _PARAMETERS},
            },
        }
    )


def _operation(route: Route) -> dict[str, Any]:
    names = [name for name in _PARAMETERS if f"{{{name}}}" in route.path]
    made: dict[str, Any] = {
        "summary": route.summary,
        "operationId": f"{route.method.lower()} {route.path}",
        "tags": [route.name],
        "parameters": [_reference(name, route) for name in names] + _query_parameters(route),
        "responses": _responses(route),
    }
    body = _body(route)
    if body:
        made["requestBody"] = {"required": route.name not in {*_SEARCHES, "operation"}, "content": body}
    return made


def _reference(name: str, route: Route) -> dict[str, Any]:
    key = "compartment" if name == "type" and route.name == "search-compartment" else name
    return {"$ref": f"#/components/parameters/{key}"}


def _path_parameter(key: str) -> dict[str, Any]:
    name = "type" if key == "compartment" else key
    return {"name": name, "in": "path", "required": True, "schema": _PARAMETERS[key]}


def _query_parameters(route: Route) -> list[dict[str, Any]]:
    found = [
        _query("_format", {"type": "string", "enum": ["json", "xml"]}),
        _query("_pretty", {"type": "boolean"}),
    ]
    if route.name in _PAGED and route.method == "GET":
        found.append(_query("_count", {"type": "integer", "minimum": 0}))
    if route.path == _CONVERT:
        found += [_argument(name) for name in ARGUMENTS if name not in IN_BODY_ONLY]
    return found


def _argument(name: str) -> dict[str, Any]:
    text = {"type": "string"}
    schema = {"type": "array", "items": text} if name in REPEATED else text
    return {**_query(name, schema), "description": ARGUMENTS[name]}


def _query(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema}


def _body(route: Route) -> dict[str, Any]:
    if route.method not in {"POST", "PUT", "PATCH"}:
        return {}
    if route.name in _SEARCHES:
        return {_FORM: {"schema": {"type": "object", "additionalProperties": {"type": "string"}}}}
    content = _content("Resource")
    if route.path == _CONVERT:
        content |= _ANY
    if route.name == "patch":
        content[_PATCH_JSON] = {"schema": {"type": "array", "items": {"type": "object"}}}
    return content


def _responses(route: Route) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for status in _SUCCESS.get(route.name, ("200",)):
        found[status] = {"description": "Done."}
        if status not in {"204", "304"}:
            found[status]["content"] = _content("Resource") | (_ANY if route.path == _CONVERT else {})
    for status in _FAULTS:
        found[status] = {"$ref": "#/components/responses/Refused"}
    return found


def _content(schema: str) -> dict[str, Any]:
    json = {"schema": {"$ref": f"#/components/schemas/{schema}"}}
    return {Format.JSON.value: json, Format.XML.value: {"schema": {"type": "object"}}}


def _resource() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["resourceType"],
        "properties": {"resourceType": {"type": "string", "enum": sorted(RESOURCE_TYPES)}, "id": _ID},
    }


def _outcome() -> dict[str, Any]:
    issue = {
        "type": "object",
        "required": ["severity", "code"],
        "properties": {
            "severity": {"type": "string", "enum": ["fatal", "error", "warning", "information"]},
            "code": {"type": "string"},
            "diagnostics": {"type": "string"},
            "expression": {"type": "array", "items": {"type": "string"}},
        },
    }
    return {
        "type": "object",
        "required": ["resourceType", "issue"],
        "properties": {
            "resourceType": {"const": "OperationOutcome"},
            "issue": {"type": "array", "minItems": 1, "items": issue},
        },
    }
