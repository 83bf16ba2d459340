"""``fhir-server audit``: verify, index, export and prune the log of every access."""

import asyncio
import contextlib
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from fhir_server.cli import parts
from fhir_server.cli.options import DataOption, KeysOption, err, out, read_settings
from fhir_server.clock import now_ms
from fhir_server.config import Settings
from fhir_server.faults import Fault, Kind

audit = typer.Typer(help="Verify, index, export and prune the log of every access.", no_args_is_help=True)

SinceOption = Annotated[
    str | None, typer.Option("--since", help="First day or instant, e.g. 2026-03-01; else the beginning.")
]
UntilOption = Annotated[
    str | None, typer.Option("--until", help="Day or instant at which to stop, excluded; else now.")
]
OutOption = Annotated[Path | None, typer.Option("--out", help="File to write; else standard output.")]
DaysOption = Annotated[
    int | None,
    typer.Option("--days", min=180, help="Days to keep; else FHIR_AUDIT_RETENTION_DAYS."),
]
WitnessOption = Annotated[
    Path | None,
    typer.Option(
        "--witness", exists=True, dir_okay=False, help="Log lines of the servers, collected elsewhere."
    ),
]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@audit.command()
def verify(data: DataOption = None, keys: KeysOption = None, witness: WitnessOption = None) -> None:
    """Look for entries changed, removed, added or reordered; exit code 1 if there are. Changes nothing."""
    from fhir_server.audit.opening import verified  # noqa: PLC0415 - late, as in parts.py

    settings = read_settings(data=data, keys=keys)
    parts.key_ring(settings)
    with err.status("Following the chains"), _input(witness) as lines:
        report = verified(settings, lines)
    for finding in report.findings:
        out.print(f"- {finding}", markup=False, soft_wrap=True)
    counted = f"{report.entries:,} entries in {report.segments:,} segments"
    if report.findings:
        out.print(f"{len(report.findings)} findings in {counted}.")
        raise typer.Exit(1)
    out.print(f"Sound: {counted} follow from each other and from what was signed.")


@audit.command()
def index(data: DataOption = None, keys: KeysOption = None) -> None:
    """Make AuditEvents of what the log holds and the index does not; a running server does so by itself."""
    settings = read_settings(data=data, keys=keys)
    out.print(f"{asyncio.run(_index(settings)):,} AuditEvents indexed.")


@audit.command()
def export(
    data: DataOption = None,
    keys: KeysOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    file: OutOption = None,
) -> None:
    """Write the AuditEvents of a time as NDJSON; its last line is a Provenance that signs the rest."""
    from fhir_server.audit.export import exported  # noqa: PLC0415 - late, as in parts.py
    from fhir_server.audit.opening import open_keys, opened_shelf, origin_of  # noqa: PLC0415

    settings = read_settings(data=data, keys=keys)
    parts.key_ring(settings)
    now = now_ms()
    begin = 0 if since is None else _ms(since, settings)
    end = now + 1 if until is None else _ms(until, settings)
    count = -1
    with opened_shelf(settings) as shelf, _output(file) as output, _sound():
        own = open_keys(settings, shelf)
        for line in exported(shelf, own, begin, end, now, origin_of(settings.base_url)):
            output.write(line)
            count += 1
    err.print(f"{count:,} AuditEvents, signed by key {own.name}.")


@audit.command(name="public-key")
def public_key(data: DataOption = None, keys: KeysOption = None) -> None:
    """Print the public key that exports and segments are checked with, as PEM."""
    from fhir_server.audit.opening import open_keys, opened_shelf  # noqa: PLC0415 - late, as in parts.py

    settings = read_settings(data=data, keys=keys)
    parts.key_ring(settings)
    with opened_shelf(settings) as shelf:
        typer.echo(open_keys(settings, shelf).public.decode(), nl=False)


@audit.command()
def prune(
    data: DataOption = None, keys: KeysOption = None, days: DaysOption = None, yes: YesOption = False
) -> None:
    """Remove the entries of whole segments that are older than the retention; the server must be stopped."""
    from fhir_server.audit.opening import open_keys, opened_shelf  # noqa: PLC0415 - late, as in parts.py
    from fhir_server.audit.prune import prune  # noqa: PLC0415 - late, as in parts.py

    settings = read_settings(data=data, keys=keys)
    parts.key_ring(settings)
    keep = settings.audit_retention_days if days is None else days
    if not yes:
        typer.confirm(f"Remove for ever what is older than {keep} days?", abort=True)
    with opened_shelf(settings) as shelf, _sound():
        names = prune(shelf, open_keys(settings, shelf), keep, now_ms())
        if names:
            # It holds what was pruned.
            shelf.forget_index()
    if not names:
        out.print(f"Nothing is older than {keep} days.")
        return
    out.print(f"Pruned: {', '.join(names)}.", markup=False, soft_wrap=True)
    out.print(f"{asyncio.run(_index(settings)):,} AuditEvents indexed anew.")


@audit.command(name="take-over")
def take_over(data: DataOption = None, keys: KeysOption = None) -> None:
    """Take the log of a data folder over into FHIR_STORE's database, before a server is started on it."""
    from fhir_server.audit import moving  # noqa: PLC0415 - late, as in parts.py
    from fhir_server.audit.mongodb.shelf import MongoShelf  # noqa: PLC0415
    from fhir_server.audit.opening import file_shelf, open_keys, opened_shelf, refuse_other_keys  # noqa: PLC0415

    settings = read_settings(data=data, keys=keys)
    parts.key_ring(settings)
    with opened_shelf(settings) as shelf:
        if not isinstance(shelf, MongoShelf):
            raise Fault(Kind.BAD_REQUEST, "Say with FHIR_STORE which database takes the log over.")
        old = file_shelf(settings)
        refuse_other_keys(shelf, open_keys(settings, old))
        with err.status("Taking over"):
            count = sum(1 for _ in moving.take_over(old, shelf))
    out.print(f"Took over {count:,} segments; fhir-server audit verify compares them with what was signed.")


async def _index(settings: Settings) -> int:
    async with parts.opened(settings.model_copy(update={"audit": True})) as service:
        assert service.audit is not None
        return await service.audit.indexer.catch_up()


def _ms(text: str, settings: Settings) -> int:
    """Read a day or an instant; a day and an instant without a zone are in the server's time zone."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no day or instant such as 2026-03-01T08:00:00Z") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=settings.zone)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


@contextlib.contextmanager
def _input(file: Path | None) -> Iterator[Iterable[bytes]]:
    if file is None:
        yield ()
        return
    with file.open("rb") as opened:
        yield opened


@contextlib.contextmanager
def _output(file: Path | None) -> Iterator[BinaryIO]:
    if file is None:
        yield sys.stdout.buffer
        return
    with file.open("wb") as opened:
        file.chmod(0o600)
        yield opened


@contextlib.contextmanager
def _sound() -> Iterator[None]:
    """Turn what a broken log raises into a sentence."""
    from fhir_server.audit.chain import Broken  # noqa: PLC0415 - late, as in parts.py
    from fhir_server.audit.entry import Undecodable  # noqa: PLC0415 - late, as in parts.py
    from fhir_server.audit.segment import BadSegment  # noqa: PLC0415 - late, as in parts.py

    try:
        yield
    except (Broken, Undecodable, BadSegment):
        raise Fault(
            Kind.UNPROCESSABLE, "The audit log is not whole; `fhir-server audit verify` tells where."
        ) from None
