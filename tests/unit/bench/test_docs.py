"""The page about the benchmarks takes its figures from the results, and explains every kind of row."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.docs import BEGIN, END, markdown, replaced
from tests.bench.figures import Aim, Figure
from tests.bench.report import results

PAGE = Path(__file__).resolve().parents[3] / "docs" / "benchmarks.md"
_RESULTS = results(
    [Figure("reads", 9000.0, "requests/s", 1000.0, Aim(at_least=8000)), Figure("x", 1.0, "s")], ["odd"]
)


def test_the_table_holds_every_row_and_note() -> None:
    made = markdown(_RESULTS)

    assert "| reads | 9,000 | 1,000 | 9.00× | requests/s | ≥ 8,000 | yes |" in made
    assert "| x | 1.00 |  |  | s |  |  |" in made
    assert made.endswith("\nNote: odd")


def test_only_what_stands_between_the_marks_is_replaced() -> None:
    made = replaced(f"before\n{BEGIN}\nold\n{END}\nafter", _RESULTS)

    assert made.startswith(f"before\n{BEGIN}\n")
    assert made.endswith(f"\n{END}\nafter")
    assert "old" not in made
    assert replaced(made, _RESULTS) == made


@pytest.mark.parametrize("page", ["", BEGIN, END, f"{END}{BEGIN}"])
def test_refuses_a_page_without_both_marks(page: str) -> None:
    with pytest.raises(ValueError, match="needs the lines"):
        replaced(page, _RESULTS)


def test_the_page_has_both_marks() -> None:
    assert replaced(PAGE.read_text(encoding="utf-8"), _RESULTS)
