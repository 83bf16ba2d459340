"""``fhir-server migrate``: take a SQLite store over into MongoDB, every version of it, and compare both."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fhir_server.cli import parts
from fhir_server.cli.options import KeysOption, err, out, read_settings
from fhir_server.config import Settings
from fhir_server.faults import Fault, Kind

if TYPE_CHECKING:
    from fhir_server.search.extract import Extractor
    from fhir_server.store.mongo.store import MongoStore
    from fhir_server.store.sqlite.store import SqliteStore

FromOption = Annotated[
    str | None, typer.Option("--from", metavar="sqlite:DIR", help="The store to take over; else FHIR_DATA's.")
]
ToOption = Annotated[
    str | None,
    typer.Option(
        "--to",
        metavar="mongodb://...",
        help="The database that takes it; else FHIR_STORE, which shows in no list of processes.",
    ),
]
_SQLITE = "sqlite:"


def migrate(from_: FromOption = None, to: ToOption = None, keys: KeysOption = None) -> None:
    """Take a store over into an empty database; one that was stopped goes on. Compares everything at the end.

    Nobody can write to the old store meanwhile: its servers answer reads and refuse writes (503).
    """
    settings = read_settings(data=_folder(from_), store=to, keys=keys)
    if not settings.store:
        raise typer.BadParameter("name the database: mongodb://host/name?replicaSet=...", param_hint="--to")
    if not parts.has_store(settings):
        raise Fault(Kind.NOT_FOUND, "The folder holds no store: name the data folder of one with --from.")
    taken, findings = asyncio.run(_migrate(settings))
    for finding in findings:
        out.print(f"- {finding}", markup=False, soft_wrap=True)
    if findings:
        out.print(
            "The two stores are not the same, and the new one cannot be served: begin with an empty one."
        )
        raise typer.Exit(1)
    out.print(f"Took over {taken:,} versions; both stores hold the same.")
    out.print("Its audit log comes over with fhir-server audit take-over, once its servers are stopped.")
    out.print(
        "Stop the old server, take its audit log over (`fhir-server audit take-over`), and serve the new"
    )
    out.print("store with FHIR_STORE and the same keys; keep the old one until you trust it.")


def _folder(text: str | None) -> Path | None:
    """Read what --from says: a folder, with or without the name of the engine before it."""
    if text is None:
        return None
    if ":" in text and not text.startswith(_SQLITE):
        raise typer.BadParameter("only a SQLite store can be taken over: sqlite:DIR", param_hint="--from")
    return Path(text.removeprefix(_SQLITE))


async def _migrate(settings: Settings) -> tuple[int, list[str]]:
    """Open both stores and take one over into the other; return how many versions, and what differs."""
    from fhir_server.search.extract import Extractor  # noqa: PLC0415 - late, as in parts.py
    from fhir_server.stores import Stores  # noqa: PLC0415 - late, as in parts.py

    ring = parts.key_ring(settings)
    extractor = Extractor(settings.zone, settings.base_url, full_text=settings.full_text)
    stores = Stores(settings)
    old = stores.sqlite(ring, extractor)
    try:
        new = await stores.mongodb(ring, extractor)
        try:
            return await _transfer(old, new, extractor)
        finally:
            await new.close()
    finally:
        await old.close()


async def _follow(old: "SqliteStore", new: "MongoStore", extractor: "Extractor") -> None:
    """Have the new store's index follow the custom search parameters of the old one."""
    from fhir_server.interactions.known import Known  # noqa: PLC0415 - late, as in parts.py

    _, text = await old.parameters.read()
    generation, known = await new.parameters.read()
    if text != known:
        await new.parameters.write(text, generation)
    await Known(new, extractor).refresh()


async def _transfer(old: "SqliteStore", new: "MongoStore", extractor: "Extractor") -> tuple[int, list[str]]:
    from fhir_server.store.transfer import differences, transfer  # noqa: PLC0415 - late, as in parts.py

    origin, destination = old.origin(), new.destination
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with origin.still(), Progress(*columns, console=err, disable=not err.is_terminal) as progress:
        # First of all: a database that is in use is refused before anything in it is changed.
        reached = await destination.begin(await origin.newest())
        await _follow(old, new, extractor)
        count = await origin.count()
        taking = progress.add_task("Taking over", total=count)
        before = await destination.count()
        taken = await transfer(
            origin, destination, reached, lambda done: progress.update(taking, completed=before + done)
        )
        comparing = progress.add_task("Comparing", total=2 * count)
        findings = await differences(
            origin, destination, progress=lambda done: progress.update(comparing, completed=done)
        )
        if not findings:
            await destination.finish()
    return taken, findings
