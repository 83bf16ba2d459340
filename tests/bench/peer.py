"""The peer: the PyPI server ``sekmet-fhir``, in an environment of its own: it cannot touch this project's.

It is a FHIR R4 server in Python with an SQLite file (WAL, synchronous=FULL, nothing sealed),
structural validation by ``fhir.resources`` R4B and no service: the nearest thing to what is built here. It
runs at its best: its log of every request, its hospital simulator and uvicorn's access log are off.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.bench.servers import HOST, Server, StartError, free_port

REQUIREMENT = "sekmet-fhir==0.1.1"
_PATIENCE = 600.0


def install(folder: Path) -> Path:
    """Return the folder of the peer's programs; the first call makes its environment and installs it."""
    programs = folder / "bin"
    stamp = folder / f".{REQUIREMENT}"
    if not stamp.exists():
        for command in (
            [sys.executable, "-m", "venv", "--clear", str(folder)],
            [str(programs / "python"), "-m", "pip", "install", "--quiet", "--no-input", REQUIREMENT],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_PATIENCE)
            if done.returncode:
                why = done.stderr.strip().rpartition("\n")[2]
                raise StartError(f"{REQUIREMENT} could not be installed: {why}")
        stamp.touch()
    return programs


def server(programs: Path, folder: Path) -> Server:
    """Return the peer on a fresh data folder."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    settings = folder.with_suffix(".yaml")
    settings.write_text(
        f"base_url: http://{HOST}:{port}/fhir\n"
        f"data_dir: {folder}\n"
        "log_inbound: false\n"
        "simulator: {enabled: false}\n"
        "validation: {inbound: strict}\n"
    )
    command = [str(programs / "uvicorn"), "--factory", "sekmet.main:app_factory"]
    command += ["--host", HOST, "--port", str(port), "--no-access-log", "--log-level", "warning"]
    return Server("sekmet-fhir", command, port, "/fhir/metadata", folder, {"SEKMET_CONFIG": str(settings)})
