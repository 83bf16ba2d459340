"""``fhir-server demo``: write the demo data as FHIR Bundles."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from fhir_server.cli.options import err
from fhir_server.demo import SEED, bundles
from fhir_server.faults import Fault, Kind

TargetArgument = Annotated[
    Path, typer.Argument(metavar="DIR|-", help="Folder to write to; - writes NDJSON to standard output.")
]
SeedOption = Annotated[int, typer.Option("--seed", help="Another seed makes other people.")]

_ENCODE = msgspec.json.Encoder(decimal_format="number").encode


def demo(target: TargetArgument, seed: SeedOption = SEED) -> None:
    """Write made-up patients, hospitals and an insurer as transaction Bundles."""
    if target == Path("-"):
        stream = typer.get_binary_stream("stdout")
        for _, bundle in bundles(seed):
            stream.write(_ENCODE(bundle) + b"\n")
        return
    target.mkdir(parents=True, exist_ok=True)
    if any(target.iterdir()):
        raise Fault(Kind.CONFLICT, f"{target} is not empty, and nothing is overwritten: name another folder.")
    count = 0
    for name, bundle in bundles(seed):
        (target / name).write_bytes(msgspec.json.format(_ENCODE(bundle), indent=2) + b"\n")
        count += 1
    err.print(f"Wrote {count} bundles to {target}.", markup=False)
