"""``fhir-server info``: what is in the store."""

import asyncio
import json
from typing import Annotated, Any

import typer
from rich.table import Table

from fhir_server.cli import parts
from fhir_server.cli.options import DataOption, KeysOption, out, read_settings
from fhir_server.config import Settings
from fhir_server.store.api import Facts

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def info(data: DataOption = None, keys: KeysOption = None, as_json: JsonOption = False) -> None:
    """Show the engine, schema, cipher suite, keys, size and how many resources there are of each type."""
    settings = read_settings(data=data, keys=keys)
    ring = parts.key_ring(settings)
    facts = asyncio.run(_facts(settings))
    told = _told(facts, ring.numbers, ring.active)
    if as_json:
        typer.echo(json.dumps(told, indent=2))
    else:
        _show(told)


async def _facts(settings: Settings) -> Facts:
    async with parts.opened(settings) as service:
        return await service.store.facts()


def _told(facts: Facts, numbers: tuple[int, ...], active: int) -> dict[str, Any]:
    return {
        "engine": facts.engine,
        "schema": facts.schema,
        "suite": facts.suite,
        "keys": {"active": active, "all": list(numbers)},
        "bytes": facts.size,
        "versions": facts.versions,
        "resources": dict(sorted(facts.resources.items())),
    }


def _show(told: dict[str, Any]) -> None:
    keys = ", ".join(str(number) for number in told["keys"]["all"])
    out.print(f"Engine     {told['engine']}, schema {told['schema']}")
    out.print(f"Suite      {told['suite']}; data keys {keys}, of which {told['keys']['active']} seals")
    out.print(f"Size       {told['bytes'] / 1e6:,.1f} MB, {told['versions']:,} versions")
    table = Table("Type", "Resources", box=None, pad_edge=False)
    table.columns[1].justify = "right"
    for name, count in told["resources"].items():
        table.add_row(name, f"{count:,}")
    table.add_section()
    table.add_row("In all", f"{sum(told['resources'].values()):,}")
    out.print(table)
