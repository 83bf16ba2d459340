"""``fhir-server``: the command line. Errors are sentences; exit codes: 0 done, 1 refused, 2 misused."""

from __future__ import annotations

import os
import sys

import typer

from fhir_server.cli.accounts import demo_accounts
from fhir_server.cli.agreement import agreement
from fhir_server.cli.audit import audit
from fhir_server.cli.backup import backup, restore
from fhir_server.cli.check import check
from fhir_server.cli.client import client
from fhir_server.cli.demo import demo
from fhir_server.cli.info import info
from fhir_server.cli.init import init
from fhir_server.cli.issuer import issuer
from fhir_server.cli.keys import keys
from fhir_server.cli.load import load
from fhir_server.cli.migrate import migrate
from fhir_server.cli.options import err
from fhir_server.cli.probe import probe
from fhir_server.cli.reindex import reindex
from fhir_server.cli.relabel import relabel
from fhir_server.cli.serve import serve
from fhir_server.cli.token import token
from fhir_server.cli.user import user
from fhir_server.faults import Fault

app = typer.Typer(
    name="fhir-server",
    help="A FHIR R4 interoperability server: sealed at rest, searchable.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (
    init,
    serve,
    probe,
    load,
    demo,
    info,
    check,
    backup,
    restore,
    migrate,
    reindex,
    relabel,
    token,
    demo_accounts,
):
    app.command()(command)
for name, group in {
    "keys": keys,
    "audit": audit,
    "client": client,
    "user": user,
    "issuer": issuer,
    "agreement": agreement,
}.items():
    app.add_typer(group, name=name)


def main() -> None:
    """Run the command line; whatever goes wrong ends as one sentence, never as a stack."""
    try:
        app()
    except Fault as fault:
        _refuse(fault.diagnostics)
    except BrokenPipeError:
        # The reader of a pipe went away (`fhir-server info | head`); Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        _refuse(f"{error.strerror or type(error).__name__}{f': {error.filename}' if error.filename else ''}")
    except KeyboardInterrupt:
        _refuse("Stopped.")
    except Exception as error:
        if os.environ.get("FHIR_LOG_LEVEL") == "debug":
            raise
        # The message of an unforeseen error may hold a person's data: only its kind is shown.
        _refuse(f"Unexpected {type(error).__name__}. Set FHIR_LOG_LEVEL=debug to see where it came from.")


def _refuse(sentence: str) -> None:
    err.print(f"fhir-server: {sentence}", markup=False, soft_wrap=True)
    sys.exit(1)
