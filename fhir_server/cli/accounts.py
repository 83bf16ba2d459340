"""``fhir-server demo-accounts``: make and print accounts for the demo data."""

import asyncio
from typing import Annotated

import typer

from fhir_server.cli import parts
from fhir_server.cli.options import DataOption, KeysOption, out, read_settings
from fhir_server.config import Settings

BaseOption = Annotated[
    str | None, typer.Option("--base", metavar="URL", help="The FHIR base that will be served.")
]


def demo_accounts(data: DataOption = None, keys: KeysOption = None, base: BaseOption = None) -> None:
    """Make an account for each role, a demo app and a token; prints new passwords at every call."""
    settings = read_settings(data=data, keys=keys, base_url=base)
    for line in asyncio.run(_lines(settings)):
        out.print(line, markup=False, soft_wrap=True)


async def _lines(settings: Settings) -> list[str]:
    from fhir_server.smart.demo import APP, REDIRECTS, demonstrate  # noqa: PLC0415 - late, as in parts.py

    async with parts.housed(settings) as house:
        demo = await demonstrate(house, house.run)
    lines = ["Demo accounts (for invented data only; new passwords at every start):"]
    for name, _, password, secret in demo.accounts:
        lines.append(f"  {name:<24} {password}{f'  one-time codes: {secret}' if secret else ''}")
    lines.append(f"Demo app: client {APP}, redirect to {REDIRECTS[0]} or {REDIRECTS[1]}")
    lines.append(
        f"The account patient is Patient/{demo.patient}. A token that reads and writes all, for a day:"
    )
    return [*lines, demo.token]
