"""``fhir-map``: convert, check, make and explain maps.

Exit codes: 0 done, 1 something could not be converted or was refused, 2 misused.
"""

from __future__ import annotations

import sys

import typer

from mappings.cli.check import check
from mappings.cli.convert import convert
from mappings.cli.diff import diff
from mappings.cli.explain import explain
from mappings.cli.new import new
from mappings.cli.options import err
from mappings.engine.model import Refused

app = typer.Typer(
    help="Local formats to FHIR Bundles and back, by maps that anybody can write.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (convert, check, new, diff, explain):
    app.command()(command)


def main() -> None:
    """Run a command; what is refused is said in a sentence, without a stack."""
    try:
        app()
    except Refused as refused:
        for issue in refused.issues:
            err.print(f"{issue.where}: {issue.sentence}", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)
    except BrokenPipeError:
        # Whoever read our output has enough of it.
        sys.stderr.close()
        sys.exit(1)
