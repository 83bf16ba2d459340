"""Regular expressions in FHIRPath: those that could run for ever are refused before they start."""

import pytest

from fhir_server.resources import fhirpath
from fhir_server.resources.fhirpath import FhirPathError


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+$",
        "(?:a+)+$",
        "(?P<n>a+)+$",
        "(a|a)*$",
        "(a*)*b",
        "((a+)b?)+",
        "(a?){50}",
        "(",
        "a{99999999999}",
        r"(a)\1",
        "x" * 501,
    ],
)
def test_refuses_a_regular_expression_that_could_hang(pattern: str) -> None:
    compiled = fhirpath.compile(f"%text.matches('{pattern}')".replace("\\", "\\\\"))

    with pytest.raises(FhirPathError):
        compiled({}, {"text": "a" * 40})


@pytest.mark.parametrize(("length", "runs"), [(200, True), (20_000, False)])
def test_limits_the_text_by_the_repeats_in_the_pattern(length: int, runs: bool) -> None:
    compiled = fhirpath.compile("%text.matches('.*a.*b$')")
    if runs:
        assert compiled({}, {"text": "a" * length}) == [False]
        return
    with pytest.raises(FhirPathError):
        compiled({}, {"text": "a" * length})
