"""The one door: every read and write, whoever asks for it, is decided here and run here.

HTTP routes, bundle entries, loads and operations all come through :meth:`Runner.run`; there is no second way
to the store.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace

from fhir_server.access.actor import Actor
from fhir_server.access.bearer import unauthorized
from fhir_server.access.decide import DEVELOPMENT, NOBODY
from fhir_server.access.decider import Decider
from fhir_server.audit.patients import Patients
from fhir_server.audit.recorder import Recorder
from fhir_server.audit.store import AUDIT, unwritable
from fhir_server.audit.trail import begin
from fhir_server.consent.groups import TooManyConditions
from fhir_server.faults import Fault, Kind
from fhir_server.interactions import batch, capabilities, create, delete, history, patch, read, search, update
from fhir_server.interactions.account import WRITES, Account
from fhir_server.interactions.context import Context, Level, Operation, Services
from fhir_server.interactions.deciding import Deciding
from fhir_server.interactions.meant import meant
from fhir_server.interactions.request import CLIENT_GONE, Reply, Request
from fhir_server.interactions.rights import admit

Handler = Callable[[Context], Awaitable[Reply]]

INTERACTIONS: Mapping[str, Handler] = {
    "read": read.read,
    "vread": read.vread,
    "create": create.create,
    "update": update.update,
    "patch": patch.patch,
    "delete": delete.delete,
    "history-instance": history.history,
    "history-type": history.history,
    "history-system": history.history,
    "search-type": search.search_type,
    "search-compartment": search.search_compartment,
    "search-system": search.search_system,
    "capabilities": capabilities.capabilities,
    "batch": batch.batch,
}
"""The interactions that are served; the CapabilityStatement claims these and no others."""


_UNRECORDED = frozenset({"capabilities"})
"""What is open to everybody and tells nothing of anybody."""

_WITHOUT_PARAMETERS = frozenset({"read", "vread"})
"""Interactions that neither search nor index, and are too quick to look for new search parameters."""


class Runner:
    """Decides on and runs interactions against the services of one server."""

    def __init__(self, services: Services, recorder: Recorder | None = None) -> None:
        self.services = services
        self._recorder = recorder
        self._patients = Patients()
        self._deciding = Deciding(services.store)
        self._decider = Decider(services.store, services.settings.zone, services.settings.consent_policy)

    async def run(self, request: Request) -> Reply:
        """Run one interaction; refusals are Faults. Whatever became of it is recorded before it is told."""
        account = Account(request, self._patients, overarching=self.services.settings.consent_policy)
        if self._recorder is None or request.name in _UNRECORDED:
            return await self._run(account)
        outer = begin(None)
        try:
            reply = await self._run(account)
        except Fault as fault:
            await self._recorder.record(await self._deciding.named(account.refused(fault), account.decision))
            raise
        except BaseException as error:
            # Nobody waits any more for this answer, or it says only that something went wrong.
            gone = CLIENT_GONE in error.args
            self._recorder.leave(account.failed(CLIENT_GONE if gone else "The request was not answered."))
            raise
        finally:
            begin(outer)
        await self._recorder.record(await self._deciding.named(account.answered(reply), account.decision))
        return reply

    async def refused(self, request: Request, fault: Fault) -> None:
        """Record a request that was refused before it came here, by whom if that is known."""
        if self._recorder is None or request.name in _UNRECORDED:
            return
        account = Account(request, self._patients)
        with suppress(Fault):
            account.actor = self._actor(request)
        await self._recorder.record(account.refused(fault))

    async def _run(self, account: Account) -> Reply:
        """Decide, then carry out; what the decision itself looks up is no access of the caller's."""
        request = account.request
        account.actor = self._actor(request)
        account.decision = await self._decider.decide(account.actor)
        context = Context(self.services, request, account.decision, self.run)
        begin(account.trail)
        if request.type == AUDIT and request.name in WRITES:
            raise unwritable()
        admit(context.decision, request, context.right)
        if request.name not in _WITHOUT_PARAMETERS:
            await self.services.known.refresh()
        handler = self._handler(request)
        try:
            return await handler(context)
        except TooManyConditions:
            patients = await meant(context, self._patients)
            if account.trail.written or (patients is None and not context.tells_of_omission):
                raise
        # Nothing was told yet, and nothing written: once more, for the patients whom it is about.
        account.trail.seen.clear()
        if patients is not None:
            account.decision = await self._decider.narrowed(account.actor, patients)
            return await handler(replace(context, decision=account.decision))
        # Of nobody in particular: with the classes that somebody is still in, or else without some patients.
        account.decision = await self._decider.decide(account.actor)
        with suppress(TooManyConditions):
            return await handler(replace(context, decision=account.decision))
        account.trail.seen.clear()
        account.decision = await self._decider.partly(account.actor)
        return await handler(replace(context, decision=account.decision))

    def _handler(self, request: Request) -> Handler:
        if request.name == "operation":
            return self._operation(request).handler
        handler = INTERACTIONS.get(request.name)
        if handler is None:
            raise Fault(
                Kind.NOT_IMPLEMENTED,
                f"{request.name} is not served; /metadata lists the interactions that are.",
            )
        return handler

    def _actor(self, request: Request) -> Actor:
        """Return who asks; without a token nobody, or on a development server the developer."""
        if request.actor is not None:
            return request.actor
        if self.services.settings.insecure_no_auth:
            return DEVELOPMENT
        if request.name == "capabilities":
            return NOBODY
        raise unauthorized("Send an access token: Authorization: Bearer …", error="")

    def _operation(self, request: Request) -> Operation:
        name = request.operation or ""
        level: Level = "instance" if request.id else "type" if request.type else "system"
        operation = self.services.operations.get(name)
        applies = operation is not None and (
            level == "system" or "*" in operation.types or request.type in operation.types
        )
        if operation is None or not applies or level not in operation.levels:
            raise Fault(
                Kind.NOT_FOUND,
                f"{name[:64]} is no operation at this address; /metadata lists those that are served.",
            )
        if request.method == "GET" and operation.affects_state:
            raise Fault(
                Kind.METHOD_NOT_ALLOWED,
                f"{name} changes data; call it with POST.",
                headers=(("Allow", "POST"),),
            )
        if request.method not in operation.methods:
            allow = ", ".join(operation.methods)
            raise Fault(Kind.METHOD_NOT_ALLOWED, f"{name} answers {allow} only.", headers=(("Allow", allow),))
        return operation
