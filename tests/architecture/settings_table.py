"""The table in docs/settings.md, made of the settings: `python -m tests.architecture.settings_table`."""

from __future__ import annotations

from pathlib import Path

from pydantic.fields import FieldInfo

from fhir_server.config import Settings

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
BEGIN = "<!-- settings: made by `python -m tests.architecture.settings_table` -->\n"
END = "<!-- end of settings -->\n"

UNITS = {
    "port": "TCP port",
    "workers": "processes",
    "max_entries": "entries",
    "max_convert_messages": "messages",
    "max_depth": "levels",
    "audit_retention_days": "days",
    "default_count": "entries",
    "max_count": "entries",
    "max_includes": "resources",
    "client_rate": "requests/s",
    "address_rate": "requests/s",
    "login_rate": "requests/s",
}


def unit(name: str, field: FieldInfo) -> str:
    """Return the unit of a setting: its name ends in it, or it is listed here; "" for what is no number."""
    if field.annotation not in (int, float):
        return ""
    ending = name.rpartition("_")[2]
    return ending if ending in ("bytes", "seconds", "minutes") else UNITS[name]


def row(name: str, field: FieldInfo) -> str:
    """Write one row: variable, unit, default, sentence."""
    default = (
        ""
        if field.default is None or str(field.default) == ""
        else f"`{str(field.default).lower() if field.annotation is bool else field.default}`"
    )
    return f"| `FHIR_{name.upper()}` | {unit(name, field)} | {default} | {field.description} |"


def table() -> str:
    """Write the whole table."""
    head = "| Variable | Unit | Default | What it is |\n| --- | --- | --- | --- |\n"
    return head + "".join(row(name, field) + "\n" for name, field in Settings.model_fields.items())


def main() -> None:
    """Put the table into the page."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(before + BEGIN + table() + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
