"""``fhir-server user``: the accounts of people who log in."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from fhir_server.cli import parts
from fhir_server.cli.options import DataOption, KeysOption, err, out, read_settings
from fhir_server.config import Settings
from fhir_server.faults import Fault, Kind

user = typer.Typer(help="Add, list, disable and remove the accounts of people.", no_args_is_help=True)

IdOption = Annotated[str, typer.Option("--id", help="The name to log in with.")]
RoleOption = Annotated[
    list[str] | None,
    typer.Option(
        "--role",
        help="practitioner, patient, proxy, system-administrator, security-administrator or "
        "audit-administrator; may repeat.",
    ),
]
NameOption = Annotated[str, typer.Option("--name", help="The person's name; else the id.")]
FhirUserOption = Annotated[
    str, typer.Option("--fhir-user", metavar="TYPE/ID", help="Who it is: Practitioner/1, Patient/1 …")
]
OrganizationOption = Annotated[
    str, typer.Option("--organization", metavar="Organization/ID", help="Whose staff it is.")
]
RoleRecordOption = Annotated[
    str, typer.Option("--practitioner-role", metavar="PractitionerRole/ID", help="Its position there.")
]
ProxyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--proxy", metavar="RelatedPerson/ID", help="A record by which it acts for a patient; may repeat."
    ),
]
ExternalOption = Annotated[
    list[str] | None,
    typer.Option("--external", metavar="'ISSUER SUBJECT'", help="Who it is at a provider; may repeat."),
]
PasswordOption = Annotated[
    Path | None,
    typer.Option(
        "--password-file",
        metavar="FILE|-",
        help="Where the password stands; else one is made.",
        allow_dash=True,
    ),
]
NoPasswordOption = Annotated[
    bool, typer.Option("--no-password", help="It logs in at an external provider only.")
]


@user.command()
def add(
    id_: IdOption,
    role: RoleOption = None,
    name: NameOption = "",
    fhir_user: FhirUserOption = "",
    organization: OrganizationOption = "",
    practitioner_role: RoleRecordOption = "",
    proxy: ProxyOption = None,
    external: ExternalOption = None,
    password_file: PasswordOption = None,
    no_password: NoPasswordOption = False,
    data: DataOption = None,
    keys: KeysOption = None,
) -> None:
    """Add an account; prints the password it made, and an administrator's one-time-code secret, this once."""
    given = "" if no_password else _password(password_file)
    fields = {
        "id": id_,
        "name": name or id_,
        "roles": tuple(role or ()),
        "fhir_user": fhir_user,
        "organization": organization,
        "practitioner_role": practitioner_role,
        "proxies": tuple(proxy or ()),
        "external": tuple(external or ()),
    }
    uri = asyncio.run(_add(read_settings(data=data, keys=keys), fields, given))
    err.print(f"Added {id_}.", markup=False)
    if given and password_file is None:
        typer.echo(f"password {given}")
    if uri:
        typer.echo(f"totp {uri}")


@user.command(name="list")
def list_users(data: DataOption = None, keys: KeysOption = None) -> None:
    """List the accounts, never their passwords."""
    table = Table("Id", "Roles", "Record", "Organization", "State", box=None, pad_edge=False)
    for record in asyncio.run(_list(read_settings(data=data, keys=keys))):
        state = "disabled" if record.disabled else ""
        table.add_row(record.id, " ".join(record.roles), record.fhir_user, record.organization, state)
    out.print(table)


@user.command()
def disable(id_: IdOption, data: DataOption = None, keys: KeysOption = None) -> None:
    """Disable an account: logged out everywhere, and what it allowed apps ends."""
    asyncio.run(_set_disabled(read_settings(data=data, keys=keys), id_, disabled=True))
    err.print(f"Disabled {id_}.", markup=False)


@user.command()
def enable(id_: IdOption, data: DataOption = None, keys: KeysOption = None) -> None:
    """Let a disabled account log in again."""
    asyncio.run(_set_disabled(read_settings(data=data, keys=keys), id_, disabled=False))
    err.print(f"Enabled {id_}.", markup=False)


@user.command()
def remove(id_: IdOption, data: DataOption = None, keys: KeysOption = None) -> None:
    """Remove an account, its sessions and everything it allowed."""
    asyncio.run(_remove(read_settings(data=data, keys=keys), id_))
    err.print(f"Removed {id_}.", markup=False)


def _password(file: Path | None) -> str:
    from fhir_server.smart.mint import new_secret  # noqa: PLC0415 - late, as in parts.py

    if file is None:
        return new_secret()[:20]
    if file == Path("-"):
        return typer.get_text_stream("stdin").readline().rstrip("\r\n")
    return file.read_text(encoding="utf-8").rstrip("\r\n")


async def _add(settings: Settings, fields: dict[str, Any], password: str) -> str:
    from fhir_server.smart.accounts import add_user  # noqa: PLC0415 - late, as in parts.py
    from fhir_server.smart.journal import described  # noqa: PLC0415 - late, as in parts.py
    from fhir_server.smart.records import User  # noqa: PLC0415 - late, as in parts.py
    from fhir_server.smart.users import totp_uri  # noqa: PLC0415 - late, as in parts.py

    async with parts.housed(settings) as house:
        record = User(**fields, subject="", created=house.clock())
        record = await add_user(house.shelves, house.passwords, record, password)
        await parts.told(house, "account-add", f"account {record.id}", described(record))
        return totp_uri(record, "FHIR server") if record.totp else ""


async def _list(settings: Settings) -> list[Any]:
    async with parts.housed(settings) as house:
        return [held.value for held in await house.shelves.users.all()]


async def _set_disabled(settings: Settings, id_: str, *, disabled: bool) -> None:
    import msgspec  # noqa: PLC0415 - late, as in parts.py

    from fhir_server.smart.accounts import change_user  # noqa: PLC0415 - late, as in parts.py

    async with parts.housed(settings) as house:
        held = await house.shelves.users.get(id_)
        if held is None:
            raise Fault(Kind.NOT_FOUND, "No account has this name.")
        changed = msgspec.structs.replace(held.value, disabled=disabled)
        await change_user(house.shelves, held, changed, house.clock())
        await parts.told(house, "account-disable" if disabled else "account-enable", f"account {id_}")


async def _remove(settings: Settings, id_: str) -> None:
    from fhir_server.smart.accounts import remove_user  # noqa: PLC0415 - late, as in parts.py

    async with parts.housed(settings) as house:
        await remove_user(house.shelves, id_, house.clock())
        await parts.told(house, "account-remove", f"account {id_}")
