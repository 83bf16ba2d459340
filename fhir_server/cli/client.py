"""``fhir-server client``: the programs that may ask for tokens."""

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from fhir_server.cli import parts
from fhir_server.cli.options import DataOption, KeysOption, err, out, read_settings
from fhir_server.config import Settings

client = typer.Typer(
    help="Register, list and remove the programs that may ask for tokens.", no_args_is_help=True
)

IdOption = Annotated[str, typer.Option("--id", help="The client id.")]
ScopeOption = Annotated[
    str,
    typer.Option("--scope", help="The most that it may be granted: 'patient/*.rs launch/patient openid'."),
]
NameOption = Annotated[str, typer.Option("--name", help="What people are shown; else the id.")]
OrganizationOption = Annotated[
    str, typer.Option("--organization", metavar="Organization/ID", help="On whose behalf it acts.")
]
JwksOption = Annotated[
    Path | None,
    typer.Option("--jwks", metavar="FILE", help="Its public keys (JWKS).", exists=True, dir_okay=False),
]
JwksUriOption = Annotated[str, typer.Option("--jwks-uri", metavar="URL", help="Where it publishes its keys.")]
RedirectOption = Annotated[
    list[str] | None,
    typer.Option("--redirect-uri", metavar="URL", help="Where people are sent back; may repeat."),
]
PurposeOption = Annotated[
    list[str] | None,
    typer.Option("--purpose", metavar="CODE", help="A purpose of use that it may claim (TREAT); may repeat."),
]
SecretOption = Annotated[bool, typer.Option("--secret", help="Make a secret and print it, this once.")]
PublicOption = Annotated[
    bool, typer.Option("--public", help="It keeps no secret: an app in a browser, on a phone.")
]
IntrospectOption = Annotated[
    bool, typer.Option("--introspect", help="It may ask what tokens of other clients are good for.")
]


@client.command()
def add(
    id_: IdOption,
    scope: ScopeOption,
    name: NameOption = "",
    organization: OrganizationOption = "",
    jwks: JwksOption = None,
    jwks_uri: JwksUriOption = "",
    redirect_uri: RedirectOption = None,
    purpose: PurposeOption = None,
    secret: SecretOption = False,
    public: PublicOption = False,
    introspect: IntrospectOption = False,
    data: DataOption = None,
    keys: KeysOption = None,
) -> None:
    """Register a client; prints its secret alone on standard output, if it gets one."""
    asymmetric = bool(jwks or jwks_uri)
    if secret + public + asymmetric > 1:
        raise typer.BadParameter("--secret, --public and --jwks exclude each other", param_hint="--secret")
    method = "private_key_jwt" if asymmetric else "client_secret_basic" if secret else "none"
    people = ("authorization_code", "refresh_token") if redirect_uri else ()
    backend = ("client_credentials",) if asymmetric and "system/" in scope else ()
    fields = {
        "id": id_,
        "name": name or id_,
        "method": method,
        "scope": scope,
        "grants": (*people, *backend),
        "redirect_uris": tuple(redirect_uri or ()),
        "jwks": _jwks(jwks),
        "jwks_uri": jwks_uri,
        "organization": organization,
        "purposes": tuple(purpose or ()),
        "introspects": introspect,
    }
    made = asyncio.run(_add(read_settings(data=data, keys=keys), fields, with_secret=secret))
    err.print(f"Registered {id_}.", markup=False)
    if made:
        typer.echo(made)


@client.command(name="list")
def list_clients(data: DataOption = None, keys: KeysOption = None) -> None:
    """List the clients, never their secrets."""
    table = Table("Id", "Name", "Authenticates", "Scope", "Organization", box=None, pad_edge=False)
    for record in asyncio.run(_list(read_settings(data=data, keys=keys))):
        table.add_row(record.id, record.name, record.method, record.scope, record.organization)
    out.print(table)


@client.command()
def remove(id_: IdOption, data: DataOption = None, keys: KeysOption = None) -> None:
    """Remove a client; its tokens are good for nothing from then on."""
    asyncio.run(_remove(read_settings(data=data, keys=keys), id_))
    err.print(f"Removed {id_}.", markup=False)


def _jwks(file: Path | None) -> dict[str, Any] | None:
    if file is None:
        return None
    try:
        found = json.loads(file.read_bytes())
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise typer.BadParameter('the file holds no JWKS: {"keys": […]}', param_hint="--jwks")
    return found


async def _add(settings: Settings, fields: dict[str, Any], *, with_secret: bool) -> str:
    from fhir_server.smart.accounts import add_client  # noqa: PLC0415 - late, as in parts.py
    from fhir_server.smart.records import Client  # noqa: PLC0415 - late, as in parts.py

    async with parts.housed(settings) as house:
        record = Client(**fields, created=house.clock())
        made = await add_client(house.shelves, record, with_secret=with_secret)
        details = (("scope", record.scope), ("organization", record.organization))
        await parts.told(house, "client-add", f"client {record.id}", details)
        return made


async def _list(settings: Settings) -> list[Any]:
    async with parts.housed(settings) as house:
        return [held.value for held in await house.shelves.clients.all()]


async def _remove(settings: Settings, id_: str) -> None:
    from fhir_server.smart.accounts import remove_client  # noqa: PLC0415 - late, as in parts.py

    async with parts.housed(settings) as house:
        await remove_client(house.shelves, id_, house.clock())
        await parts.told(house, "client-remove", f"client {id_}")
