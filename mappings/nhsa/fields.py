"""What the interface's specification says of each transaction: its blocks, and in them its fields.

The data is ``fields/<transaction>.tsv``: ``[input.data]`` opens a block (``[]`` after a name: a list), then
one field a line: name, Chinese name, type (text, number, date, datetime, block), length ("30", "16,2"),
code table, and a mark: ``!`` where the specification requires it, ``+`` where it does not know it but real
messages carry it, ``=name`` where it is an older name of another field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

Type = Literal["text", "number", "date", "datetime", "block"]
SIDES = {"request": "input", "response": "output", "": ""}
"""The envelope's member that holds the business data, by direction; tables and files have none."""

_DATA = files("mappings.nhsa") / "fields"


@dataclass(frozen=True, slots=True)
class Field:
    """One field. ``length``: characters, or digits, ``scale`` of them after the point; 0: unbounded.

    ``means``: the field that this is an older name of; it is read as that one.
    """

    name: str
    title: str
    type: Type
    length: int
    scale: int
    table: str
    required: bool
    specified: bool
    means: str = ""


@dataclass(frozen=True, slots=True)
class Block:
    """One node: the names that lead to it from the business data, and which of those are lists.

    ``path`` is empty for fields that stand in the business data itself.
    """

    path: tuple[str, ...]
    repeats: tuple[bool, ...]
    fields: Mapping[str, Field]

    @property
    def dotted(self) -> str:
        """Name the block as maps do: ``patient_dtos.fsi_encounter_dtos``."""
        return ".".join(self.path)


@dataclass(frozen=True, slots=True)
class Transaction:
    """One transaction (交易) or table: its blocks by ``input``, ``output``, ``file``, ``row``."""

    number: str
    title: str
    blocks: Mapping[str, tuple[Block, ...]]

    def side(self, direction: str) -> tuple[Block, ...]:
        """Return the blocks of a direction: "request", "response", or "" for a file or a table's row."""
        name = SIDES[direction]
        return self.blocks.get(name) or (
            () if name else self.blocks.get("file") or self.blocks.get("row") or ()
        )


@cache
def numbers() -> tuple[str, ...]:
    """List the transactions and tables that have a field table."""
    return tuple(
        sorted(entry.name.removesuffix(".tsv") for entry in _DATA.iterdir() if entry.name.endswith(".tsv"))
    )


def number_of(kind: str) -> str | None:
    """Return the transaction whose field table describes ``kind``; None when there is none.

    Regions call the same transaction by letter variants (2206A): those without a table of their own are
    described by the plain number.
    """
    if kind in numbers():
        return kind
    plain = kind.rstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    return plain if plain in numbers() else None


@cache
def transaction(kind: str) -> Transaction | None:
    """Return what is known of a transaction or table, letter variants included; None when it is unknown."""
    number = number_of(kind)
    if number is None:
        return None
    lines = (_DATA / f"{number}.tsv").read_text("utf-8").splitlines()
    title = lines[0].removeprefix(f"# {number} ")
    blocks: dict[str, list[Block]] = {}
    current: dict[str, Field] = {}
    for line in lines[1:]:
        if line.startswith("["):
            current = {}
            side, *steps = line[1:-1].split(".")
            block = Block(
                tuple(step.removesuffix("[]") for step in steps),
                tuple(step.endswith("[]") for step in steps),
                current,
            )
            blocks.setdefault(side.removesuffix("[]"), []).append(block)
        elif line:
            entry = _field(line)
            current[entry.name] = entry
    return Transaction(number, title, {side: tuple(found) for side, found in blocks.items()})


def _field(line: str) -> Field:
    name, title, type_, length, table, mark = line.split("\t")
    digits, _, scale = length.partition(",")
    return Field(
        name=name,
        title=title,
        type=type_,  # type: ignore[arg-type]  # the data is ours, and a test reads all of it
        length=int(digits or 0),
        scale=int(scale or 0),
        table=table,
        required=mark == "!",
        specified=not mark.startswith(("+", "=")),
        means=mark[1:] if mark.startswith("=") else "",
    )
