"""Patient/$break-glass: in an emergency, see for a while what consent hides; on record, and told.

The purpose of use is BTG or ETREAT, the role one that policy lets (``conformance/policies/consent.json``). It
lifts consent alone: not scopes, not agreements, and not what policy says is proof against emergencies.
https://hl7.org/fhir/R4/security.html#break-the-glass; docs/consent.md
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final
from uuid import uuid4

import msgspec

from fhir_server.access.actor import Actor
from fhir_server.access.consented import REVIEW
from fhir_server.access.standing import standing
from fhir_server.clock import instant, now_ms
from fhir_server.consent.asking import breaker
from fhir_server.consent.combine import Grant
from fhir_server.consent.policy import policy
from fhir_server.faults import Fault, Kind
from fhir_server.interactions.consents import GLASS, reclass
from fhir_server.interactions.context import Context, Operation
from fhir_server.interactions.request import Reply, Request
from fhir_server.operations.arguments import simple, single
from fhir_server.resources.codec import decode, encode
from fhir_server.store.state import Put

Tree = dict[str, Any]

REASON_SYSTEM: Final = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
_REVIEW: Final = {
    "coding": [{"system": REVIEW[0], "code": REVIEW[1]}],
    "text": "Review of an emergency access (紧急访问复核)",
}
_SERVER: Final = Actor.internal("break-glass")
_MOST_WORDS: Final = 1000
_REVIEW_DAYS: Final = 3
_DAY: Final = 86_400_000
_MINUTE: Final = 60_000


async def break_glass(context: Context) -> Reply:
    """Grant the emergency access, tell the patient, and give the privacy officer a Task to review it.

    200 with Parameters: ``until`` (instant), ``communication`` and ``task`` (references). Faults: FORBIDDEN
    for another purpose or role, NOT_FOUND for a patient out of reach by right, BAD_REQUEST without a reason.
    """
    reason = _reason(context)
    user = await _admitted(context)
    patient = await _patient(context)
    now = now_ms()
    end = now + context.settings.break_glass_minutes * _MINUTE
    grant = Grant(breaker(user, context.decision.actor.organization), now, end)
    # Told first: if anything fails from here on, an access was told that was not had, not the reverse.
    communication, task = await _tell(context, patient, user, reason, end)
    key = f"{context.id}|{user}|{now}|{uuid4().hex}"
    record = Put(GLASS, key, msgspec.json.encode(grant), 0, end, (context.id,))
    await context.services.state.apply([record])
    await reclass(context.store, context.services.state, context.settings, context.id)
    parameters = [
        {"name": "until", "valueInstant": instant(end)},
        {"name": "communication", "valueReference": {"reference": communication}},
        {"name": "task", "valueReference": {"reference": task}},
    ]
    return Reply(200, encode({"resourceType": "Parameters", "parameter": parameters}))


def _reason(context: Context) -> str:
    given = single(simple(context.request), frozenset({"reason"}))
    reason = given.get("reason", "").strip()
    if not reason or len(reason) > _MOST_WORDS:
        raise Fault(
            Kind.BAD_REQUEST,
            f"Say why, in at most {_MOST_WORDS} characters: the parameter reason. The patient will read it.",
            "Parameters.parameter",
        )
    return reason


async def _admitted(context: Context) -> str:
    """Return the user; a Fault says what is missing, which is the same whatever the patient has said."""
    actor, emergency = context.decision.actor, policy().break_glass
    if actor.purpose not in emergency.purposes:
        names = " or ".join(sorted(emergency.purposes))
        raise Fault(Kind.FORBIDDEN, f"Breaking the glass needs the purpose of use {names}: X-Purpose-Of-Use.")
    kind = (actor.user or "").partition("/")[0]
    if actor.user is None or kind not in ("Practitioner", "PractitionerRole"):
        raise Fault(Kind.FORBIDDEN, "Only a practitioner who is logged in breaks the glass.")
    roles = actor.roles | (await standing(context.store, actor.user, actor.organization)).roles
    if roles.isdisjoint(emergency.roles):
        names = ", ".join(sorted(emergency.roles))
        raise Fault(Kind.FORBIDDEN, f"Your role does not allow to break the glass; these do: {names}.")
    return actor.user


async def _patient(context: Context) -> Tree:
    """Return the patient, if it is within the caller's reach by right, whatever it has consented to."""
    visibility = replace(context.decision.visibility("r"), consents=None)
    stored = await context.store.read(visibility, "Patient", context.id)
    if stored is None or stored.deleted:
        raise Fault(Kind.NOT_FOUND, f"Patient/{context.id} is not known here.")
    return decode(stored.body)


async def _tell(context: Context, patient: Tree, user: str, reason: str, end: int) -> tuple[str, str]:
    """Store what the patient and the privacy officer are told; return the references of both."""
    who = {"reference": f"Patient/{context.id}"}
    actor = context.decision.actor
    sent = instant(now_ms())
    purpose = {"coding": [{"system": REASON_SYSTEM, "code": actor.purpose}]}
    until = instant(end)
    english = f"In an emergency {user} opened your record beyond your consent, until {until}. Why: {reason}"
    chinese = f"因紧急情况，医务人员（{user}）在您授权范围之外查阅了您的病历，至 {until} 止。理由：{reason}"
    communication = {
        "resourceType": "Communication",
        "status": "completed",
        "priority": "urgent",
        "subject": who,
        "topic": {"text": "Emergency access to your record (紧急访问告知)"},
        "sent": sent,
        "recipient": [who],
        "reasonCode": [purpose],
        "payload": [{"contentString": english}, {"contentString": chinese}],
    }
    owner = patient.get("managingOrganization", {}).get("reference") or actor.organization
    due = instant(now_ms() + _REVIEW_DAYS * _DAY)
    task = {
        "resourceType": "Task",
        "status": "requested",
        "intent": "order",
        "priority": "urgent",
        "code": _REVIEW,
        "for": who,
        "focus": who,
        "authoredOn": sent,
        "requester": {"reference": user},
        "reasonCode": {**purpose, "text": reason},
        "restriction": {"period": {"end": due}},
        **({"owner": {"reference": owner}} if owner else {}),
    }
    entries = [
        {"resource": tree, "request": {"method": "POST", "url": tree["resourceType"]}}
        for tree in (communication, task)
    ]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    request = context.request
    reply = await context.run(
        Request(
            "batch",
            method="POST",
            body=bundle,
            base=request.base,
            request_id=request.request_id,
            address=request.address,
            actor=_SERVER,
        )
    )
    made = [each["response"]["location"] for each in decode(reply.body)["entry"]]
    communication_at, task_at = (
        "/".join(location.removeprefix(f"{request.base}/").split("/")[:2]) for location in made
    )
    return communication_at, task_at


BREAK_GLASS = Operation(
    name="$break-glass",
    handler=break_glass,
    levels=frozenset({"instance"}),
    types=("Patient",),
    definition="https://fhir-server.invalid/OperationDefinition/break-glass",
    affects_state=True,
    right="r",
)
