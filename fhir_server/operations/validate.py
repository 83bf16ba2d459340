"""$validate: would this resource be accepted, and if not, what is wrong with it?

https://hl7.org/fhir/R4/resource-operation-validate.html
"""

from __future__ import annotations

from fhir_server.faults import Fault, Issue, Kind
from fhir_server.interactions.context import Context, Operation
from fhir_server.interactions.read import current
from fhir_server.interactions.request import Reply, Request, Tree
from fhir_server.operations.arguments import parts, simple, single
from fhir_server.resources.codec import decode
from fhir_server.resources.outcome import outcome
from fhir_server.resources.types import RESOURCE_TYPES
from fhir_server.search.custom import problems
from fhir_server.search.parameters import parameters
from fhir_server.search.predicate import ReferenceIs, Where
from fhir_server.search.query import Query
from fhir_server.validation import validate

_MODES = ("create", "update", "delete", "profile")
_BASE = "http://hl7.org/fhir/StructureDefinition/"


async def run(context: Context) -> Reply:
    """Return an OperationOutcome: 200 whether the resource is valid or not, as the specification demands."""
    request = context.request
    given = list(request.parameters) if _is_bare(request) else simple(request)
    arguments = single(given, frozenset({"mode", "profile"}))
    mode = arguments.get("mode")
    if mode is not None and mode not in _MODES:
        raise Fault(Kind.BAD_PARAMETER, f"mode is one of {', '.join(_MODES)}.", "Parameters.parameter")
    if mode == "delete":
        return _reply(await _deletable(context))
    tree = await _subject(context)
    issues = validate(tree)
    if tree.get("resourceType") == "SearchParameter" and not any(i.severity == "error" for i in issues):
        issues += problems(tree)
    issues += _profile(arguments.get("profile"), context.type)
    if tree.get("resourceType") != context.type:
        issues.append(
            Issue("error", "invalid", f"The address says {context.type}; the resource is of another type.")
        )
    else:
        issues += await _identity(context, tree, mode)
    return _reply(issues)


def _reply(issues: list[Issue]) -> Reply:
    return Reply(200, outcome(issues or [Issue("information", "informational", "All is well.")]))


def _is_bare(request: Request) -> bool:
    """Tell whether the body is the resource to validate, not the operation's arguments.

    Parameters sent to Parameters/$validate are the subject unless one of them is named resource.
    """
    body = request.body
    if body is None or body.get("resourceType") != "Parameters":
        return body is not None
    listed = body.get("parameter")
    named = (
        [part.get("name") for part in listed if isinstance(part, dict)] if isinstance(listed, list) else []
    )
    return request.type == "Parameters" and "resource" not in named


async def _subject(context: Context) -> Tree:
    """Return the resource to validate: the bare body, the part named resource, or the stored one."""
    request = context.request
    if request.body is not None and _is_bare(request):
        return request.body
    for part in parts(request):
        if part.get("name") == "resource":
            resource = part.get("resource")
            if isinstance(resource, dict):
                return resource
            raise Fault(Kind.BAD_REQUEST, "The parameter resource holds no resource.", "Parameters.parameter")
    if request.id is None:
        raise Fault(Kind.BAD_REQUEST, "Send the resource to validate, bare or as the parameter resource.")
    return decode((await current(context, context.type, request.id)).body)


async def _identity(context: Context, tree: Tree, mode: str | None) -> list[Issue]:
    """Check what the interaction of ``mode`` would check beyond the resource itself."""
    id_ = tree.get("id")
    expression = (f"{context.type}.id",)
    if mode == "update":
        if not isinstance(id_, str):
            return [Issue("error", "required", "An update needs the id of the resource.", expression)]
        if context.request.id is not None and id_ != context.request.id:
            return [Issue("error", "value", "The resource's id is not the one in the address.", expression)]
    if mode == "create" and isinstance(id_, str):
        words = "A create ignores the id that is sent; the server chooses one."
        return [Issue("warning", "informational", words, expression)]
    return []


async def _deletable(context: Context) -> list[Issue]:
    """Check what a delete would check."""
    if context.request.id is None:
        raise Fault(Kind.BAD_REQUEST, "mode delete is for one resource; call it as Type/id/$validate.")
    stored = await current(context, context.type, context.request.id)
    if not context.settings.referential_integrity:
        return []
    target = ReferenceIs((f"{stored.type}/{stored.id}",))
    for type_ in sorted(RESOURCE_TYPES):
        for parameter in parameters(type_).values():
            if parameter.type == "reference" and stored.type in parameter.targets:
                query = Query(type_, Where(parameter.code, target), count=1)
                if (await context.store.search(context.visibility, query)).matches:
                    return [
                        Issue(
                            "error", "conflict", f"A {type_} still refers to it; a delete would be refused."
                        )
                    ]
    return []


def _profile(profile: str | None, type_: str) -> list[Issue]:
    if profile is None or profile == _BASE + type_:
        return []
    words = "Only the base definitions of R4 are known here; the resource was checked against those."
    return [Issue("error", "not-supported", words)]


VALIDATE = Operation(
    name="$validate",
    handler=run,
    levels=frozenset({"type", "instance"}),
    types=("*",),
    definition="http://hl7.org/fhir/OperationDefinition/Resource-validate",
    right="any",
)
