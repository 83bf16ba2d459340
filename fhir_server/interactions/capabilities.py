"""Capabilities: the CapabilityStatement, made from what is really served.

https://hl7.org/fhir/R4/http.html#capabilities and https://hl7.org/fhir/R4/capabilitystatement.html
"""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import version
from typing import Any

from fhir_server.audit.store import AUDIT
from fhir_server.clock import instant
from fhir_server.faults import Fault, Kind
from fhir_server.interactions.context import Context, Operation
from fhir_server.interactions.published import RELEASED, profiles
from fhir_server.interactions.request import Reply
from fhir_server.resources.codec import encode
from fhir_server.resources.types import RESOURCE_TYPES
from fhir_server.search.parameters import Parameter, Registry
from fhir_server.store.capabilities import Engine, told

TYPE_INTERACTIONS = (
    "read",
    "vread",
    "update",
    "patch",
    "delete",
    "history-instance",
    "history-type",
    "create",
    "search-type",
)
AUDIT_INTERACTIONS = ("read", "vread", "history-instance", "history-type", "search-type")
"""AuditEvents are made by the server alone."""
SYSTEM_INTERACTIONS = ("transaction", "batch", "history-system", "search-system")
PATCH_FORMATS = ("application/json-patch+json", "application/fhir+json", "application/fhir+xml")


async def capabilities(context: Context) -> Reply:
    """Return the statement; it is the same for every caller. 400 for another ``mode`` than full."""
    if any(pair != ("mode", "full") for pair in context.request.parameters):
        raise Fault(
            Kind.UNSUPPORTED_PARAMETER, "/metadata takes mode=full, _format and _pretty; leave out the rest."
        )
    operations = tuple(context.services.operations.values())
    registry = context.services.known.registry
    integrity = context.settings.referential_integrity
    has_auth = context.settings.auth
    engine: Engine = "mongodb" if context.settings.store else "sqlite"
    statement = _statement(context.request.base, operations, registry, integrity, has_auth, engine)
    return Reply(200, statement)


@lru_cache(maxsize=8)
def _statement(
    base: str,
    operations: tuple[Operation, ...],
    registry: Registry,
    integrity: bool,
    has_auth: bool,
    engine: Engine,
) -> bytes:
    """Build the statement; kept, because it is large and changes only with the server."""
    return encode(
        {
            "resourceType": "CapabilityStatement",
            "status": "active",
            "date": instant(RELEASED),
            "kind": "instance",
            "software": {"name": "fhir-server", "version": version("fhir-server")},
            "implementation": {"description": "FHIR R4 interoperability server", "url": base},
            "fhirVersion": "4.0.1",
            "format": ["json", "xml"],
            "patchFormat": list(PATCH_FORMATS),
            "rest": [
                {
                    "mode": "server",
                    "documentation": told(engine),
                    **({"security": _security(base)} if has_auth else {}),
                    "resource": [
                        _resource(name, operations, registry, integrity) for name in sorted(RESOURCE_TYPES)
                    ],
                    "interaction": [{"code": code} for code in SYSTEM_INTERACTIONS],
                    **_operations([each for each in operations if "system" in each.levels]),
                }
            ],
        }
    )


def _security(base: str) -> dict[str, Any]:
    """Say that tokens are needed and where they are to be had.

    https://hl7.org/fhir/smart-app-launch/STU2.2/conformance.html#declaring-support-for-oauth2-endpoints
    """
    oauth = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
    places = ("authorize", "token", "introspect", "revoke")
    uris = [{"url": place, "valueUri": f"{base}/auth/{place}"} for place in places]
    code = {
        "system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
        "code": "SMART-on-FHIR",
    }
    return {
        "extension": [{"url": oauth, "extension": uris}],
        "cors": True,
        "service": [{"coding": [code], "text": "OAuth2 using SMART App Launch 2.2"}],
    }


def _resource(
    name: str, operations: tuple[Operation, ...], registry: Registry, integrity: bool
) -> dict[str, Any]:
    served = [each for each in registry.parameters(name).values() if each.is_searchable]
    references = [each.code for each in served if each.type == "reference"]
    own = [
        each
        for each in operations
        if each.levels & {"type", "instance"} and ("*" in each.types or name in each.types)
    ]
    served_interactions = AUDIT_INTERACTIONS if name == AUDIT else TYPE_INTERACTIONS
    return {
        "type": name,
        "profile": f"http://hl7.org/fhir/StructureDefinition/{name}",
        **({"supportedProfile": list(profiles(name))} if profiles(name) else {}),
        "interaction": [{"code": code} for code in served_interactions],
        "versioning": "versioned-update",
        "readHistory": True,
        "updateCreate": name != AUDIT,
        "conditionalCreate": name != AUDIT,
        "conditionalRead": "full-support",
        "conditionalUpdate": name != AUDIT,
        "conditionalDelete": "single" if name != AUDIT else "not-supported",
        "referencePolicy": ["literal", "logical", *(["enforced"] if integrity else [])],
        "searchInclude": [f"{name}:{code}" for code in references] or ["*"],
        "searchParam": [_parameter(each) for each in served],
        **_operations(own),
    }


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {"name": parameter.code, "definition": parameter.url, "type": parameter.type}


def _operations(operations: list[Operation]) -> dict[str, Any]:
    """Return the operation element; none at all when there are none, for empty arrays are not FHIR."""
    if not operations:
        return {}
    listed = [{"name": each.name.removeprefix("$"), "definition": each.definition} for each in operations]
    return {"operation": listed}
