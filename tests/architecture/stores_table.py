"""The table of what engines do differently in docs/stores.md: `python -m tests.architecture.stores_table`."""

from __future__ import annotations

from pathlib import Path

from fhir_server.store.capabilities import CAPABILITIES, NAMES

PAGE = Path(__file__).parents[2] / "docs" / "stores.md"
BEGIN = "<!-- differences: made by `python -m tests.architecture.stores_table` -->\n"
END = "<!-- end of differences -->\n"


def table() -> str:
    """Write the whole table."""
    head = f"| | {NAMES['sqlite']} | {NAMES['mongodb']} |\n| --- | --- | --- |\n"
    return head + "".join(f"| {each.name} | {each.sqlite} | {each.mongodb} |\n" for each in CAPABILITIES)


def main() -> None:
    """Put the table into the page."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(before + BEGIN + table() + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
