"""``fhir-server init``: make keys and an empty store."""

import asyncio
from pathlib import Path
from typing import Annotated, Literal

import typer

from fhir_server.cli import parts
from fhir_server.cli.options import DataOption, KeysOption, out, read_settings
from fhir_server.config import Settings
from fhir_server.faults import Fault, Kind

SuiteOption = Annotated[
    Literal["standard", "guomi"] | None,
    typer.Option("--suite", help="Ciphers: standard (AES-256-GCM, BLAKE2b) or guomi (SM4-GCM, SM3)."),
]
OnceOption = Annotated[
    bool, typer.Option("--once", help="Do nothing where keys and store are there already, as in a container.")
]

_KEEP = "Keep a copy of the key folder in a safe place: without it nothing can be read."


def init(
    data: DataOption = None, keys: KeysOption = None, suite: SuiteOption = None, once: OnceOption = False
) -> None:
    """Make keys and an empty store; refuses to overwrite either. In MongoDB a store of these keys is kept."""
    settings = read_settings(data=data, keys=keys, suite=suite)
    if settings.store:
        _prepare_database(settings)
        return
    if once and parts.has_key_ring(settings) and parts.has_store(settings):
        out.print(f"There is a store in {settings.data} already, and keys in {settings.key_folder}.")
        return
    _refuse_to_overwrite(settings)
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings.data.chmod(0o700)
    parts.new_key_ring(settings)
    asyncio.run(_make_store(settings))
    out.print(f"Made a store in {settings.data} and keys in {settings.key_folder} ({settings.suite} suite).")
    out.print(_KEEP)


def _prepare_database(settings: Settings) -> None:
    """Prepare the database for the keys that are there, or for new ones when there are none.

    A database that has a store of other keys is refused by whoever opens it; new keys go with the refusal.
    Whatever else goes wrong they stay: the database may know them by then, and would take no others.
    """
    from fhir_server.crypto.keys import KeyFault  # noqa: PLC0415 - late, as in parts.py

    is_new = not parts.has_key_ring(settings)
    if is_new:
        parts.new_key_ring(settings)
    try:
        asyncio.run(_make_store(settings))
    except KeyFault:
        if is_new:
            parts.remove_key_ring(settings)
        raise
    except Fault:
        if is_new:
            out.print(f"Made keys in {settings.key_folder}; they stay for the next attempt.")
        raise
    if is_new:
        out.print(f"Prepared the database, made keys in {settings.key_folder} ({settings.suite} suite).")
        out.print(_KEEP)
    else:
        out.print("The database is prepared for the keys that are there; nothing that it held was changed.")


def _refuse_to_overwrite(settings: Settings) -> None:
    """Raise when there is anything in either folder."""
    for name, folder in (("data", settings.data), ("key", settings.key_folder)):
        if folder.exists() and _holds_something(folder):
            raise Fault(
                Kind.CONFLICT,
                f"The {name} folder {folder} is not empty, and init overwrites nothing: name another folder.",
            )


def _holds_something(folder: Path) -> bool:
    return not folder.is_dir() or any(folder.iterdir())


async def _make_store(settings: Settings) -> None:
    async with parts.opened(settings):
        pass
