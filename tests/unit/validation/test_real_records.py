"""Synthetic records of a whole population, when they lie beside the project: all of them are valid."""

import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from fhir_server.validation import errors
from tests.unit.validation.samples import SAMPLES

_DECODE = msgspec.json.Decoder(float_hook=Decimal).decode
_SHARED = Path(os.environ.get("FHIR_SHARED", Path(__file__).parents[4] / "shared"))


def _records() -> list[dict[str, Any]]:
    bundles = [_DECODE(path.read_bytes()) for path in sorted(_SHARED.glob("synthea/*.json"))[:4]]
    return [*SAMPLES.values(), *(entry["resource"] for bundle in bundles for entry in bundle["entry"])]


def test_every_record_is_valid() -> None:
    refused = [(record["resourceType"], issue) for record in _records() for issue in errors(record)]

    assert refused == []


def test_every_record_is_refused_with_an_unknown_element() -> None:
    assert all(errors({**record, "unheardOf": 1}) for record in _records()[:200])
