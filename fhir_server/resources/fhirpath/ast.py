"""The syntax tree of FHIRPath: one small frozen class per production. http://hl7.org/fhirpath/N1/grammar.html"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fhir_server.faults import Fault, Kind


class FhirPathError(Fault):
    """An expression that cannot be read or run; ``position`` is the 0-based character where it went wrong."""

    def __init__(self, diagnostics: str, position: int | None = None) -> None:
        where = "" if position is None else f" (at character {position + 1})"
        super().__init__(Kind.UNPROCESSABLE, f"FHIRPath: {diagnostics}{where}")
        self.position = position


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant; ``type_name`` is a System type, or "" for the empty collection ``{}``."""

    value: Any
    type_name: str


@dataclass(frozen=True, slots=True)
class This:
    """``$this``, written or understood at the start of a path."""


@dataclass(frozen=True, slots=True)
class Special:
    """``$index`` or ``$total``."""

    name: str


@dataclass(frozen=True, slots=True)
class Variable:
    """An external constant such as ``%resource``."""

    name: str
    position: int


@dataclass(frozen=True, slots=True)
class Step:
    """A member step: ``base.name``."""

    base: Node
    name: str
    first: bool
    """True at the start of a path, where the name may also be that of the context's own type."""


@dataclass(frozen=True, slots=True)
class Call:
    """A function call: ``base.name(arguments)``."""

    base: Node
    name: str
    arguments: tuple[Node, ...]
    position: int


@dataclass(frozen=True, slots=True)
class Index:
    """An indexer: ``base[index]``."""

    base: Node
    index: Node


@dataclass(frozen=True, slots=True)
class Unary:
    """A sign: ``+operand`` or ``-operand``."""

    operator: str
    operand: Node


@dataclass(frozen=True, slots=True)
class Binary:
    """An operator between two expressions."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class TypeOperator:
    """``operand is type_name`` or ``operand as type_name``."""

    operator: str
    operand: Node
    type_name: str
    position: int


Node = Literal | This | Special | Variable | Step | Call | Index | Unary | Binary | TypeOperator
