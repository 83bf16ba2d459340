"""File sizes: no Python file over 400 lines."""

from __future__ import annotations

from pathlib import Path

from tests.architecture.sizes import too_long


def test_no_file_is_longer_than_400_lines() -> None:
    assert too_long() == []


def test_a_file_of_401_lines_is_found_and_one_of_400_is_not(tmp_path: Path) -> None:
    (tmp_path / "fhir_server").mkdir()
    (tmp_path / "fhir_server/long.py").write_text("#\n" * 401, encoding="utf-8")
    (tmp_path / "fhir_server/just.py").write_text("#\n" * 400, encoding="utf-8")

    assert too_long(tmp_path) == [(401, "fhir_server/long.py")]
