"""Media types of files, by the endings of their names, and back."""

from __future__ import annotations

from pathlib import PurePath

MEDIA_TYPES = {
    ".json": "application/json", ".csv": "text/csv", ".tsv": "text/tab-separated-values",
    ".txt": "text/plain",
    ".xml": "application/xml", ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".zip": "application/zip",
}  # fmt: skip
UNKNOWN = "application/octet-stream"


def media_type(name: str) -> str:
    """Return the media type of a file by its name; that of any bytes when its ending tells nothing."""
    return MEDIA_TYPES.get(PurePath(name.removesuffix(".gz")).suffix.lower(), UNKNOWN)


def suffix(media: str) -> str:
    """Return the ending of a file of a media type; "" of one that is not known."""
    return next((ending for ending, known in MEDIA_TYPES.items() if known == media), "")
