"""Where the commands meet the rest of the server; imported late, so that ``--help`` need not wait for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol, cast

from fhir_server.config import Settings

if TYPE_CHECKING:
    from fhir_server.app import Service
    from fhir_server.crypto.keys import KeyRing
    from fhir_server.smart.house import House
    from fhir_server.store.state import State

Decode = Callable[[bytes], dict[str, Any]]
"""Bytes to a resource tree; raises Fault when they are none."""


class KeyedStore(Protocol):
    """What a store that seals adds to :class:`fhir_server.store.api.Store`."""

    async def reseal(self, progress: Callable[[int, int], None]) -> int:
        """Seal every payload under the active key; ``progress`` hears (done, in all). Return how many."""

    async def retire(self) -> tuple[int, ...]:
        """Remove the keys that seal nothing any more and return their numbers."""


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Service]:
    """Open the server's parts on the data folder for as long as the block runs."""
    from fhir_server.app import open_service  # noqa: PLC0415 - late: see the first line of this file

    service = await open_service(settings)
    try:
        yield service
    finally:
        await service.close()


class StatefulStore(Protocol):
    """What a store that keeps accounts and clients adds to :class:`fhir_server.store.api.Store`."""

    @property
    def state(self) -> State:
        """The records beside the resources."""


@asynccontextmanager
async def housed(settings: Settings) -> AsyncIterator[House]:
    """Open the authorization server on the data folder for as long as the block runs; it serves nothing."""
    from fhir_server.smart.house import House  # noqa: PLC0415 - late: see the first line of this file

    async with opened(settings) as service:
        record = service.audit.recorder.record if service.audit else None
        state = cast("StatefulStore", service.store).state
        house = House(settings, state, service.run, record=record)
        try:
            yield house
        finally:
            await house.close()


async def told(house: House, event: str, target: str, details: tuple[tuple[str, str], ...] = ()) -> None:
    """Tell the audit what a command did. Fault UNAVAILABLE when it cannot be written."""
    from fhir_server.smart.journal import COMMAND_LINE, Who  # noqa: PLC0415 - late: see the first line

    await house.journal.tell(event, Who(COMMAND_LINE), target, details=details)


def key_ring(settings: Settings) -> KeyRing:
    """Read the key ring; raises KeyFault when it is missing or cannot be used."""
    from fhir_server.crypto.keys import KeyRing  # noqa: PLC0415 - late: see the first line of this file

    return KeyRing.load(settings.key_folder)


def new_key_ring(settings: Settings) -> KeyRing:
    """Make a key ring; refuses to overwrite one."""
    from fhir_server.crypto.keys import KeyRing  # noqa: PLC0415 - late: see the first line of this file

    return KeyRing.create(settings.key_folder, settings.suite)


def decoder(settings: Settings) -> Decode:
    """Return the function that turns bytes of JSON into a resource."""
    from fhir_server.resources.codec import decode  # noqa: PLC0415 - late: see the first line of this file

    return lambda body: decode(body, max_depth=settings.max_depth)
