"""docs/insurance-interface.md cannot lie: its table is what the maps say."""

from __future__ import annotations

from pathlib import Path

from mappings.nhsa.format import styles
from tests.mapping.nhsa.messages import FORMAT

PAGE = Path(__file__).parents[3] / "docs" / "insurance-interface.md"


def table() -> str:
    """Return the page's table: transactions, direction, title, resources; one line per map file."""
    files: dict[str, list[str]] = {}
    for map_ in FORMAT.maps():
        made = dict.fromkeys(target.type for target in map_.targets if target.by in {"update", "create"})
        kind = "table" if not map_.kind[0].isdigit() else map_.direction or "file"
        files.setdefault(f"{kind} | {map_.title['zh']} | {', '.join(made)}", []).append(map_.kind)
    lines = [f"| {', '.join(sorted(kinds))} | {rest} |" for rest, kinds in files.items()]
    return "\n".join(["| transactions | | 名称 | resources |", "| --- | --- | --- | --- |", *sorted(lines)])


def test_the_table_of_the_page_is_what_the_maps_make() -> None:
    page = PAGE.read_text("utf-8")

    assert page.partition("<!-- maps -->\n")[2].partition("\n<!-- /maps -->")[0] == table()


def test_the_page_names_every_profile_and_no_other() -> None:
    page = PAGE.read_text("utf-8")

    assert all(f"`{name}`" in page for name in FORMAT.overlays())
    assert "styles.yaml" in page
    assert set(FORMAT.overlays()) <= set(styles())
