"""How long the Python files are: none over 400 lines. `python -m tests.architecture.sizes` tells."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
MOST = 400
FOLDERS = ("fhir_server", "conformance", "mappings", "tests")


def too_long(root: Path = ROOT, most: int = MOST) -> list[tuple[int, str]]:
    """List (lines, path) of the files over ``most`` lines, longest first."""
    sizes = (
        (len(path.read_bytes().splitlines()), path.relative_to(root).as_posix())
        for folder in FOLDERS
        for path in (root / folder).rglob("*.py")
    )
    return sorted((size for size in sizes if size[0] > most), reverse=True)


def main() -> int:
    """Print the files that are too long; 1 when there are any."""
    found = too_long()
    for lines, path in found:
        sys.stdout.write(f"{path}: {lines} lines; split it by meaning (at most {MOST})\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
