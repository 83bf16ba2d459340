"""``fhir-server issuer``: other identity providers that people log in with, or whose tokens are accepted."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from fhir_server.cli import parts
from fhir_server.cli.options import DataOption, KeysOption, err, out, read_settings
from fhir_server.config import Settings
from fhir_server.faults import Fault, Kind

issuer = typer.Typer(help="Register, list and remove external OpenID providers.", no_args_is_help=True)

IdOption = Annotated[str, typer.Option("--id", help="What this house calls it.")]
UrlOption = Annotated[str, typer.Option("--issuer", metavar="URL", help="Its issuer address.")]
NameOption = Annotated[str, typer.Option("--name", help="What people are shown; else the id.")]
ClientOption = Annotated[str, typer.Option("--client-id", help="What it calls this server.")]
SecretOption = Annotated[
    Path | None,
    typer.Option(
        "--client-secret-file", metavar="FILE", help="Where the secret stands that it gave.", exists=True
    ),
]
LoginOption = Annotated[bool, typer.Option("--login", help="People may log in with it.")]
AudienceOption = Annotated[
    str, typer.Option("--audience", help="Accept its access tokens that are for this audience.")
]
ScopeOption = Annotated[str, typer.Option("--scope", help="The most that its tokens may grant.")]
OrganizationOption = Annotated[
    str, typer.Option("--organization", metavar="Organization/ID", help="Whose people and programs they are.")
]
PurposeOption = Annotated[
    list[str] | None,
    typer.Option("--purpose", metavar="CODE", help="A purpose that they may claim; may repeat."),
]


@issuer.command()
def add(
    id_: IdOption,
    url: UrlOption,
    name: NameOption = "",
    client_id: ClientOption = "",
    client_secret_file: SecretOption = None,
    login: LoginOption = False,
    audience: AudienceOption = "",
    scope: ScopeOption = "",
    organization: OrganizationOption = "",
    purpose: PurposeOption = None,
    data: DataOption = None,
    keys: KeysOption = None,
) -> None:
    """Register a provider for logging in, for its tokens, or for both."""
    secret = client_secret_file.read_text(encoding="utf-8").strip() if client_secret_file else ""
    fields = {
        "id": id_,
        "issuer": url,
        "name": name or id_,
        "client_id": client_id,
        "secret": secret,
        "login": login,
        "audience": audience,
        "scope": scope,
        "organization": organization,
        "purposes": tuple(purpose or ()),
    }
    asyncio.run(_add(read_settings(data=data, keys=keys), fields))
    err.print(f"Registered {id_}.", markup=False)


@issuer.command(name="list")
def list_issuers(data: DataOption = None, keys: KeysOption = None) -> None:
    """List the providers, never their secrets."""
    table = Table("Id", "Issuer", "Log-in", "Audience", "Scope", box=None, pad_edge=False)
    for record in asyncio.run(_list(read_settings(data=data, keys=keys))):
        table.add_row(
            record.id, record.issuer, "yes" if record.login else "no", record.audience, record.scope
        )
    out.print(table)


@issuer.command()
def remove(id_: IdOption, data: DataOption = None, keys: KeysOption = None) -> None:
    """Remove a provider; its tokens are not accepted from then on."""
    asyncio.run(_remove(read_settings(data=data, keys=keys), id_))
    err.print(f"Removed {id_}.", markup=False)


async def _add(settings: Settings, fields: dict[str, Any]) -> None:
    from fhir_server.smart.accounts import add_issuer  # noqa: PLC0415 - late, as in parts.py
    from fhir_server.smart.records import Issuer  # noqa: PLC0415 - late, as in parts.py

    async with parts.housed(settings) as house:
        await add_issuer(house.shelves, Issuer(**fields))
        details = (("issuer", fields["issuer"]), ("scope", fields["scope"]))
        await parts.told(house, "issuer-add", f"issuer {fields['id']}", details)


async def _list(settings: Settings) -> list[Any]:
    async with parts.housed(settings) as house:
        return [held.value for held in await house.shelves.issuers.all()]


async def _remove(settings: Settings, id_: str) -> None:
    async with parts.housed(settings) as house:
        held = await house.shelves.issuers.get(id_)
        if held is None:
            raise Fault(Kind.NOT_FOUND, "No issuer with this id is registered.")
        await house.shelves.apply(house.shelves.issuers.to_remove(held))
        await parts.told(house, "issuer-remove", f"issuer {id_}")
