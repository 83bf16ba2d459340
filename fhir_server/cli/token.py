"""``fhir-server token``: an access token for a script, alone on standard output."""

import asyncio
from typing import Annotated

import typer

from fhir_server.cli import parts
from fhir_server.cli.options import DataOption, KeysOption, read_settings
from fhir_server.config import Settings

MOST_SECONDS = 24 * 3600

ClientOption = Annotated[str, typer.Option("--client", help="The client that it is for.")]
ScopeOption = Annotated[
    str, typer.Option("--scope", help="What it grants: within what the client is registered for.")
]
PatientOption = Annotated[str, typer.Option("--patient", metavar="ID", help="The patient in context.")]
UserOption = Annotated[str, typer.Option("--user", metavar="ID", help="The account on whose behalf.")]
PurposeOption = Annotated[
    str, typer.Option("--purpose", metavar="CODE", help="Its purpose of use; else all of the client's.")
]
TtlOption = Annotated[
    int, typer.Option("--ttl", min=1, max=MOST_SECONDS, metavar="SECONDS", help="How long it is good for.")
]
BaseOption = Annotated[
    str | None,
    typer.Option("--base", metavar="URL", help="The FHIR base that it is for; else the settings'."),
]


def token(
    client: ClientOption,
    scope: ScopeOption,
    patient: PatientOption = "",
    user: UserOption = "",
    purpose: PurposeOption = "",
    ttl: TtlOption = 300,
    base: BaseOption = None,
    data: DataOption = None,
    keys: KeysOption = None,
) -> None:
    """Print an access token. Whoever may read the key folder may have one: keep both safe."""
    settings = read_settings(data=data, keys=keys, base_url=base)
    wanted = {"client": client, "scope": scope, "patient": patient, "user": user, "purpose": purpose}
    typer.echo(asyncio.run(_token(settings, wanted, ttl)))


async def _token(settings: Settings, wanted: dict[str, str], ttl: int) -> str:
    from fhir_server.smart.issuing import Wanted, issue  # noqa: PLC0415 - late, as in parts.py

    async with parts.housed(settings) as house:
        return await issue(house, Wanted(**wanted), ttl)
