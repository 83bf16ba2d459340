"""The tables in docs/search.md, made of the registries: `python -m tests.architecture.search_table`."""

from __future__ import annotations

from pathlib import Path

from fhir_server.search.matrix import markdown

PAGE = Path(__file__).parents[2] / "docs" / "search.md"
BEGIN = "<!-- search: made by `python -m tests.architecture.search_table` -->\n"
END = "<!-- end of search -->\n"


def main() -> None:
    """Put the tables into the page."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(before + BEGIN + markdown() + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
