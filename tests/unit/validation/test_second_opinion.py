"""Other validators of FHIR: they accept what we take for valid, and we refuse what they refuse.

No probe is known that either of them refuses and we accept. What they let pass that we refuse: both let pass
bindings, invariants, targets, ids and blank strings; fhir.resources also lets pass values of the wrong JSON
type, null and empty arrays, and the narrative's content.
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
def test_neither_refuses_what_we_accept(probe: Probe) -> None:
    tree = changed(probe.sample, *probe.changes)

    assert errors(tree) == []
    assert not _fhirkit_refuses(tree)
    assert not _r4b_refuses(tree)


def test_we_refuse_at_least_what_they_refuse() -> None:
    trees = [changed(probe.sample, *probe.changes) for probe in REFUSED]
    by_fhirkit = [tree for tree in trees if _fhirkit_refuses(tree)]
    by_r4b = [tree for tree in trees if _r4b_refuses(tree)]

    assert len(by_fhirkit) >= _SEEN_BY_FHIRKIT
    assert len(by_r4b) >= _SEEN_BY_R4B
    assert all(errors(tree) for tree in (*by_fhirkit, *by_r4b))
