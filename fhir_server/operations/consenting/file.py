"""Patient/$consent-file: a Consent made of a template, filed with the caller's own rights; and the templates.

https://hl7.org/fhir/R4/consent.html and docs/consent.md
"""

from __future__ import annotations

from typing import Any

from fhir_server.clock import instant, now_ms
from fhir_server.consent.templates import Template, fill, templates
from fhir_server.faults import Fault, Kind
from fhir_server.interactions.context import Context, Operation
from fhir_server.interactions.request import Reply, Request
from fhir_server.operations.arguments import simple
from fhir_server.resources.codec import encode

Tree = dict[str, Any]


async def consent_file(context: Context) -> Reply:
    """File the Consent that ``template`` and its parameters make, as a create by the same caller would.

    201 with the Consent. With ``preview=true`` it is returned with 200 and not filed. Faults: BAD_PARAMETER
    for what the template cannot be filled with, and those of a create.
    """
    given: dict[str, list[str]] = {}
    for name, value in simple(context.request):
        given.setdefault(name, []).append(value)
    (code,) = given.pop("template", [""])[:1]
    preview = given.pop("preview", ["false"])
    if preview not in (["true"], ["false"]):
        raise Fault(Kind.BAD_PARAMETER, "preview is true or false.")
    request = context.request
    patient = f"Patient/{context.id}"
    tree = fill(code, given, patient, instant(now_ms()), context.settings.base_url)
    if preview == ["true"]:
        return Reply(200, encode(tree))
    return await context.run(
        Request(
            "create",
            type="Consent",
            method="POST",
            body=tree,
            base=request.base,
            request_id=request.request_id,
            address=request.address,
            prefer_return=request.prefer_return,
            actor=request.actor,
        )
    )


async def consent_templates(_context: Context) -> Reply:
    """Return every template: its code, what it says in Chinese and English, and its parameters."""
    parameters = [_told(code, each) for code, each in templates().items()]
    return Reply(200, encode({"resourceType": "Parameters", "parameter": parameters}))


def _told(code: str, template: Template) -> Tree:
    parts: list[Tree] = [
        {"name": "code", "valueCode": code},
        {"name": "zh", "valueString": template.zh},
        {"name": "en", "valueString": template.en},
    ]
    for name, parameter in template.parameters.items():
        about: list[Tree] = [
            {"name": "name", "valueCode": name},
            {"name": "required", "valueBoolean": parameter.required},
            {"name": "repeats", "valueBoolean": parameter.repeats},
            *({"name": "type", "valueCode": type_} for type_ in parameter.types),
            *({"name": "default", "valueString": value} for value in parameter.default),
        ]
        parts.append({"name": "parameter", "part": about})
    return {"name": "template", "part": parts}


CONSENT_FILE = Operation(
    name="$consent-file",
    handler=consent_file,
    levels=frozenset({"instance"}),
    types=("Patient",),
    definition="https://fhir-server.invalid/OperationDefinition/consent-file",
    affects_state=True,
    right="any",
)

CONSENT_TEMPLATES = Operation(
    name="$consent-templates",
    handler=consent_templates,
    levels=frozenset({"type"}),
    types=("Patient",),
    definition="https://fhir-server.invalid/OperationDefinition/consent-templates",
    right="any",
)
