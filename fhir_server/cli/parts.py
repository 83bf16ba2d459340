"""Where the commands meet the rest of the server; imported late, so that ``--help`` need not wait for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fhir_server.config import Settings

if TYPE_CHECKING:
    from fhir_server.app import Service
    from fhir_server.crypto.keys import KeyRing
    from fhir_server.smart.house import House

Decode = Callable[[bytes], dict[str, Any]]
"""Bytes to a resource tree; raises Fault when they are none."""


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Service]:
    """Open the server's parts on the data folder for as long as the block runs."""
    from fhir_server.app import open_service  # noqa: PLC0415 - late: see the first line of this file

    service = await open_service(settings)
    try:
        yield service
    finally:
        await service.close()


@asynccontextmanager
async def housed(settings: Settings) -> AsyncIterator[House]:
    """Open the authorization server on the data folder for as long as the block runs; it serves nothing."""
    from fhir_server.smart.house import House  # noqa: PLC0415 - late: see the first line of this file

    async with opened(settings) as service:
        record = service.audit.recorder.record if service.audit else None
        house = House(settings, service.store.state, service.run, record=record)
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


def has_key_ring(settings: Settings) -> bool:
    """Tell whether the key folder holds a key ring."""
    from fhir_server.crypto.keys import RING  # noqa: PLC0415 - late: see the first line of this file

    return (settings.key_folder / RING).exists()


def has_store(settings: Settings) -> bool:
    """Tell whether the data folder holds an embedded store."""
    from fhir_server.store.sqlite.opening import FILE  # noqa: PLC0415 - late: see the first line of this file

    return (settings.data / FILE).exists()


def new_audit_keys(settings: Settings) -> None:
    """Make the keys of the audit; those that are there stay."""
    from fhir_server.audit.keys import AuditKeys  # noqa: PLC0415 - late: see the first line of this file

    AuditKeys.open(settings.key_folder, settings.suite, may_create=True)


def remove_key_ring(settings: Settings) -> None:
    """Remove a key ring that was just made and seals nothing."""
    from fhir_server.crypto.keys import RING  # noqa: PLC0415 - late: see the first line of this file

    (settings.key_folder / RING).unlink()


def decoder(settings: Settings) -> Decode:
    """Return the function that turns bytes of JSON into a resource."""
    from fhir_server.resources.codec import decode  # noqa: PLC0415 - late: see the first line of this file

    return lambda body: decode(body, max_depth=settings.max_depth)
