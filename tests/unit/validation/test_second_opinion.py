"""Other validators of FHIR: they accept what we take for valid, and we refuse what they refuse.

Where they are known to be wrong the reason stands beside the name of the probe.
"""

import importlib
from typing import Any

import fhirkit
import msgspec
import pytest
from pydantic import ValidationError

from fhir_server.validation import errors
from tests.unit.validation.probes import ACCEPTED, REFUSED, Probe
from tests.unit.validation.samples import SAMPLES, changed

_ENCODE = msgspec.json.Encoder(decimal_format="number").encode
_SEEN_BY_FHIRKIT = 45
"""At least so many of the probes must fhirkit refuse too, so that agreement means something."""
_SEEN_BY_R4B = 30

FHIRKIT_IS_WRONG: dict[str, str] = {}
R4B_IS_WRONG: dict[str, str] = {}


def _fhirkit_refuses(tree: dict[str, Any]) -> bool:
    return any(issue.severity == "error" for issue in fhirkit.validate(_ENCODE(tree)))


def _r4b_refuses(tree: dict[str, Any]) -> bool:
    name = tree["resourceType"]
    model = getattr(importlib.import_module(f"fhir.resources.R4B.{name.lower()}"), name)
    try:
        model.model_validate_json(_ENCODE(tree))
    except (ValidationError, KeyError):
        # An unknown contained type raises a bare KeyError there.
        return True
    return False


@pytest.mark.parametrize("name", SAMPLES)
def test_both_accept_the_valid_sample(name: str) -> None:
    assert not _fhirkit_refuses(SAMPLES[name])
    assert not _r4b_refuses(SAMPLES[name])


@pytest.mark.parametrize("probe", ACCEPTED, ids=lambda probe: probe.name)
def test_what_either_refuses_we_refuse_too(probe: Probe) -> None:
    tree = changed(probe.sample, *probe.changes)

    assert errors(tree) == []
    assert _fhirkit_refuses(tree) is (probe.name in FHIRKIT_IS_WRONG)
    assert _r4b_refuses(tree) is (probe.name in R4B_IS_WRONG)


def test_we_refuse_at_least_what_they_refuse() -> None:
    trees = [changed(probe.sample, *probe.changes) for probe in REFUSED]
    by_fhirkit = [tree for tree in trees if _fhirkit_refuses(tree)]
    by_r4b = [tree for tree in trees if _r4b_refuses(tree)]

    assert len(by_fhirkit) >= _SEEN_BY_FHIRKIT
    assert len(by_r4b) >= _SEEN_BY_R4B
    assert all(errors(tree) for tree in (*by_fhirkit, *by_r4b))
