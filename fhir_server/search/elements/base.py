"""What the functions of every data type share."""

from __future__ import annotations

from typing import Any

Codes = tuple[str, ...]
"""The codes of search parameters."""


def text(value: Any) -> str:
    """Return a text as it is, "" for anything else."""
    return value if isinstance(value, str) else ""
