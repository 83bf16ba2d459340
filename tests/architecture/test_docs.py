"""Documents cannot lie: what they name exists, and what exists is named."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer.main

from fhir_server.cli import app
from fhir_server.config import Settings
from tests.architecture.settings_table import BEGIN, END, PAGE, UNITS, table
from tests.architecture.sizes import ROOT

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("**/*.md")])
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def code(page: Path) -> str:
    """Return what stands in code blocks and between backquotes."""
    text = page.read_text(encoding="utf-8")
    return "\n".join([*re.findall(r"```.*?```", text, re.DOTALL), *re.findall(r"`[^`\n]+`", text)])


def targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE))


def test_the_settings_table_is_the_settings() -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert table() == page.partition(BEGIN)[2].partition(END)[0]


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_says_what_it_is_in_a_sentence(name: str) -> None:
    description = Settings.model_fields[name].description

    assert description is not None
    assert re.fullmatch(r"[A-Z].{15,}\.", description), description


def test_every_unit_belongs_to_a_setting() -> None:
    assert UNITS.keys() <= Settings.model_fields.keys()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_make_command_that_a_page_names_exists(page: Path) -> None:
    named = set(re.findall(r"\bmake ([a-z][a-z-]*)", code(page)))

    assert named <= targets()


def test_the_readme_names_the_two_commands() -> None:
    assert {"run", "test"} <= set(re.findall(r"\bmake ([a-z-]+)", code(ROOT / "README.md")))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_fhir_server_command_that_a_page_names_exists(page: Path) -> None:
    group: Any = typer.main.get_command(app)

    assert set(re.findall(r"\bfhir-server ([a-z]+)", code(page))) <= group.commands.keys()


def test_every_command_and_every_option_of_load_is_on_the_page_of_the_command_line() -> None:
    page = (ROOT / "docs/command-line.md").read_text(encoding="utf-8")
    group: Any = typer.main.get_command(app)
    keys = group.commands["keys"]
    names = [*group.commands.keys() - {"keys"}, *(f"keys {name}" for name in keys.commands)]

    assert [name for name in names if f"`fhir-server {name}`" not in page] == []
    options = [option for parameter in group.commands["load"].params for option in parameter.opts]
    assert [option for option in options if option.startswith("--") and option not in page] == []


def test_every_make_target_explains_itself_and_is_phony() -> None:
    explained = set(re.findall(r"^([a-z][a-z-]*):.* ## \S", MAKEFILE, re.MULTILINE))
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)

    assert phony is not None
    assert explained == targets() == set(phony.group(1).split())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_links_to_exists(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))

    assert [link for link in links if not (page.parent / link).exists()] == []
