"""What every command shares: the options that say where the data are, and settings made of them."""

# No `from __future__ import annotations` in the command modules: Typer reads their annotations at run time.
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import SecretStr, ValidationError
from pydantic_core import ErrorDetails
from rich.console import Console

from fhir_server.config import Settings

DataOption = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Data folder; else FHIR_DATA, else ./data.", file_okay=False),
]
KeysOption = Annotated[
    Path | None,
    typer.Option(
        "--keys", metavar="DIR", help="Key folder; else FHIR_KEYS, else DATA/keys.", file_okay=False
    ),
]

out = Console(highlight=False)
"""Where results go."""
err = Console(stderr=True, highlight=False)
"""Where progress, warnings and errors go, so that results can be piped."""


def read_settings(**given: Any) -> Settings:
    """Read the settings from the environment; what is ``given`` and not None comes first.

    Raises ``typer.BadParameter`` that names each setting that cannot be used (exit code 2).
    """
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        raise typer.BadParameter("; ".join(map(_problem, error.errors()))) from None


def _problem(issue: ErrorDetails) -> str:
    """Say which setting cannot be used and why; what concerns several names them itself."""
    return f"FHIR_{str(issue['loc'][0]).upper()}: {issue['msg']}" if issue["loc"] else issue["msg"]


def environment(settings: Settings) -> dict[str, str]:
    """Write the settings that were given as environment variables, for worker processes to read.

    A secret is not among them: it came by the environment, or from a file that a variable names.
    """
    written = {}
    for name in settings.model_fields_set:
        value = getattr(settings, name)
        if value is not None and not isinstance(value, SecretStr):
            written[f"FHIR_{name.upper()}"] = str(value).lower() if isinstance(value, bool) else str(value)
    return written
