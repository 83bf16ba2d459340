"""What an interaction is given: the request, what its caller may see, the parts of the server it needs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from fhir_server.access.decide import Decision
from fhir_server.access.scopes import Letter
from fhir_server.config import Settings
from fhir_server.faults import Fault, Kind
from fhir_server.frozen import frozen
from fhir_server.interactions.expansions import Expansions
from fhir_server.interactions.known import Known
from fhir_server.interactions.labelling import Labelling
from fhir_server.interactions.masked import Masked
from fhir_server.interactions.request import Reply, Request, Tree
from fhir_server.interactions.rights import Right, letter_of
from fhir_server.search.extract import Extractor
from fhir_server.search.visibility import Visibility
from fhir_server.store.api import Store
from fhir_server.store.state import State

Level = Literal["system", "type", "instance"]


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation that is served, at some levels, for some ``types`` ("*" for any).

    ``definition``: the canonical URL that the CapabilityStatement names. ``affects_state``: not by GET.
    ``methods``: those that it answers. ``right``: what its caller needs; what changes data needs an
    administrator unless it says otherwise. ``searches``: it answers with a searchset, in which it says what
    :func:`interactions.omitted.omitted` says.
    """

    name: str
    handler: Callable[[Context], Awaitable[Reply]]
    levels: frozenset[Level]
    types: tuple[str, ...]
    definition: str
    affects_state: bool = False
    methods: tuple[str, ...] = ("GET", "POST")
    right: Right | None = None
    searches: bool = False

    @property
    def needs(self) -> Right:
        """What its caller needs."""
        return self.right or ("admin" if self.affects_state else "s")


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of a running server. ``page_key``: 32 bytes that seal page links.

    ``known``: the search parameters that there are; ``expansions``: the value sets that are expanded;
    ``labelling``: gives what is written its security labels; ``state``: small durable records.
    """

    store: Store
    settings: Settings
    extractor: Extractor
    page_key: bytes
    operations: Mapping[str, Operation]
    known: Known
    labelling: Labelling
    state: State
    expansions: Expansions = field(default_factory=Expansions)


@frozen
class Context:
    """One interaction under way. ``run`` sends a further request through the one door.

    ``together``: what the same commit writes, by ``Type/id``.
    """

    services: Services
    request: Request
    decision: Decision
    run: Callable[[Request], Awaitable[Reply]]
    together: Mapping[str, Tree] = field(default_factory=dict)

    @property
    def operation(self) -> Operation | None:
        """The operation asked for; None when the request is none that is served."""
        is_one = self.request.name == "operation"
        return self.services.operations.get(self.request.operation or "") if is_one else None

    @property
    def right(self) -> Right | None:
        """What the operation asked for needs; None when the request is no operation."""
        operation = self.operation
        return operation.needs if operation is not None else None

    @property
    def tells_of_omission(self) -> bool:
        """True when the answer is a searchset, which says when it leaves patients out."""
        operation = self.operation
        return self.request.name.startswith("search-") or (operation is not None and operation.searches)

    @property
    def letter(self) -> Letter:
        """The letter of ``cruds`` that the interaction is."""
        return letter_of(self.request, self.right)

    @property
    def visibility(self) -> Visibility:
        """What the caller may do this interaction to: what it may read, search, or overwrite."""
        return self.decision.visibility(self.letter)

    @property
    def store(self) -> Store:
        """The store; every read of it takes ``visibility``. What the caller's purpose masks is not in it."""
        masks = self.decision.masks
        return self.services.store if masks is None else Masked(self.services.store, masks)

    @property
    def settings(self) -> Settings:
        """The server's settings."""
        return self.services.settings

    @property
    def type(self) -> str:
        """The resource type of the request."""
        if self.request.type is None:
            raise Fault(Kind.BAD_REQUEST, "Say which resource type is meant.")
        return self.request.type

    @property
    def id(self) -> str:
        """The logical id of the request."""
        if self.request.id is None:
            raise Fault(Kind.BAD_REQUEST, "Say which resource is meant: its id is missing.")
        return self.request.id

    def about(self, request: Request) -> Context:
        """Return the same context with another request."""
        return replace(self, request=request)
