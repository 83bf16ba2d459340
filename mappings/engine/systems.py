"""Short names of identifier systems, code systems and extensions, and the addresses they stand for.

The names are in ``systems.yaml``; a map file may add its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import quote

import yaml


@dataclass(frozen=True, slots=True)
class Systems:
    """Names → addresses, the same for extensions, and aliases → the address that is written."""

    systems: Mapping[str, str]
    extensions: Mapping[str, str]
    aliases: Mapping[str, str]
    titles: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    base: str = ""

    def system(self, name: str) -> str:
        """Return the address of a system's short name; an address stands for itself. KeyError when unknown.

        The address may hold ``{source}``: ``for_source`` puts the sender's name there.
        """
        if name in self.systems:
            return self.systems[name]
        if ":" in name:
            return self.aliases.get(name, name)
        raise KeyError(name)

    def extension(self, name: str) -> str:
        """Return the address of an extension's short name; an address stands for itself. KeyError else."""
        if name in self.extensions:
            return self.extensions[name]
        if ":" in name:
            return name
        raise KeyError(name)

    def canonical(self, uri: str) -> str:
        """Return the address that is written for ``uri``: itself, unless it is an alias."""
        return self.aliases.get(uri, uri)

    def with_own(self, systems: Mapping[str, str], extensions: Mapping[str, str]) -> Systems:
        """Return these names and a map's own; its own come first."""
        return Systems(
            {**self.systems, **systems},
            {**self.extensions, **extensions},
            self.aliases,
            self.titles,
            self.base,
        )


@cache
def common() -> Systems:
    """Read ``systems.yaml``."""
    text = files("mappings.engine").joinpath("systems.yaml").read_text(encoding="utf-8")
    data: dict[str, Any] = yaml.safe_load(text)
    base = str(data["base"])

    def addresses(section: str) -> dict[str, str]:
        return {name: entry["uri"].replace("{base}", base) for name, entry in data[section].items()}

    systems = addresses("systems")
    aliases = {
        alias: systems[name] for name, entry in data["systems"].items() for alias in entry.get("also", ())
    }
    titles = {
        name: entry["title"]
        for section in ("systems", "extensions")
        for name, entry in data[section].items()
        if "title" in entry
    }
    return Systems(systems, addresses("extensions"), aliases, titles, base)


def for_source(uri: str, source: str) -> str:
    """Put the sending system's name into an address that has a place for it."""
    return uri.replace("{source}", quote(source, safe="")) if "{source}" in uri else uri
