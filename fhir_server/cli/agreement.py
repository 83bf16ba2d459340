"""``fhir-server agreement``: data-sharing agreements, as Contract resources through the one door."""

import asyncio
from typing import Annotated, Any

import typer

from fhir_server.cli import parts
from fhir_server.cli.options import DataOption, KeysOption, err, read_settings
from fhir_server.config import Settings

agreement = typer.Typer(
    help="Say which organisation may receive which records of others.", no_args_is_help=True
)

IdOption = Annotated[str, typer.Option("--id", help="The Contract's id.")]
ReceiverOption = Annotated[
    str, typer.Option("--organization", metavar="Organization/ID", help="Who receives.")
]
TypeOption = Annotated[
    list[str], typer.Option("--type", metavar="TYPE", help="A resource type that is shared; may repeat.")
]
GrantorOption = Annotated[
    list[str] | None,
    typer.Option("--grantor", metavar="Organization/ID", help="Whose records; else everybody's; may repeat."),
]
PurposeOption = Annotated[
    list[str] | None,
    typer.Option("--purpose", metavar="CODE", help="For which purpose of use; else any; may repeat."),
]
StartOption = Annotated[str, typer.Option("--start", metavar="DATE", help="First day.")]
EndOption = Annotated[str, typer.Option("--end", metavar="DATE", help="Last day.")]
UnsignedOption = Annotated[
    bool, typer.Option("--unsigned", help="Not signed yet: it grants nothing until it is.")
]


@agreement.command()
def add(
    id_: IdOption,
    organization: ReceiverOption,
    type_: TypeOption,
    grantor: GrantorOption = None,
    purpose: PurposeOption = None,
    start: StartOption = "",
    end: EndOption = "",
    unsigned: UnsignedOption = False,
    data: DataOption = None,
    keys: KeysOption = None,
) -> None:
    """Add an agreement, or replace the one with this id; it counts from the next request on."""
    settings = read_settings(data=data, keys=keys)
    terms = {
        "receiver": organization,
        "grantors": tuple(grantor or ()),
        "types": frozenset(type_),
        "purposes": frozenset(purpose or ()),
    }
    period = {name: value for name, value in (("start", start), ("end", end)) if value}
    asyncio.run(_put(settings, id_, terms, period, signed=not unsigned))
    err.print(f"Agreement Contract/{id_} is {'not signed yet' if unsigned else 'in force'}.", markup=False)


async def _put(
    settings: Settings, id_: str, terms: dict[str, Any], period: dict[str, str], *, signed: bool
) -> None:
    from fhir_server.access.actor import Actor  # noqa: PLC0415 - late, as in parts.py
    from fhir_server.access.agreements import Agreement, contract  # noqa: PLC0415 - late, as in parts.py
    from fhir_server.clock import instant, now_ms  # noqa: PLC0415 - late, as in parts.py
    from fhir_server.interactions.request import Request  # noqa: PLC0415 - late, as in parts.py

    status = "executed" if signed else "negotiable"
    made = Agreement(id=id_, **terms, start=0, end=0, status=status, is_signed=signed)
    signature = {
        "type": [{"system": "urn:iso-astm:E1762-95:2013", "code": "1.2.840.10065.1.12.1.7"}],
        "when": instant(now_ms()),
        "who": {"reference": made.receiver},
    }
    body = contract(made, signature if signed else None)
    if period:
        body["applies"] = period
    actor = Actor.internal("agreement add")
    async with parts.opened(settings) as service:
        await service.run(Request("update", "Contract", id_, method="PUT", body=body, actor=actor))
