"""Values that are made for every request: frozen for the type checker, free of its price at run time.

A dataclass that is frozen at run time sets each field by a call of ``object.__setattr__``: two microseconds
for a Request, a twentieth of a page of a search. mypy, which reads every line of this project, refuses an
assignment just the same. What a right rests on (``access``, Visibility) is frozen at run time as well.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: type[T]) -> type[T]:
    """Make a class a dataclass with slots, a hash, and fields that no code may set once it is made."""
    return dataclass(slots=True, unsafe_hash=True)(cls)
