"""The one door: every read and write, whoever asks for it, is decided here and run here.

HTTP routes, bundle entries, loads and operations all come through :meth:`Runner.run`; there is no second way
to the store.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from fhir_server.access.actor import Actor
from fhir_server.access.bearer import unauthorized
from fhir_server.access.decide import DEVELOPMENT, NOBODY
from fhir_server.access.decider import Decider
from fhir_server.faults import Fault, Kind
from fhir_server.interactions import batch, capabilities, create, delete, history, patch, read, search, update
from fhir_server.interactions.context import Context, Level, Operation, Services
from fhir_server.interactions.request import Reply, Request
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


_WITHOUT_PARAMETERS = frozenset({"read", "vread"})
"""Interactions that neither search nor index, and are too quick to look for new search parameters."""


class Runner:
    """Decides on and runs interactions against the services of one server."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self._decider = Decider(services.store, services.settings.zone)

    async def run(self, request: Request) -> Reply:
        """Run one interaction; refusals are Faults. Rights are decided first."""
        decision = await self._decider.decide(self._actor(request))
        context = Context(self.services, request, decision, self.run)
        admit(context.decision, request, context.right)
        if request.name not in _WITHOUT_PARAMETERS:
            await self.services.known.refresh()
        if request.name == "operation":
            return await self._operation(request).handler(context)
        handler = INTERACTIONS.get(request.name)
        if handler is None:
            raise Fault(
                Kind.NOT_IMPLEMENTED,
                f"{request.name} is not served; /metadata lists the interactions that are.",
            )
        return await handler(context)

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
