"""The image without an engine: a wheel of what the Dockerfile copies, installed in a fresh folder.

What the image declares is put below one folder: ``/data``, ``/keys`` and ``/backup`` can be written to,
nothing else belongs to the account that runs. Interpreter and locked dependencies are those of the tests.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from tests.architecture.sizes import ROOT
from tests.docker.files import DOCKER, copied, last_stage
from tests.mongo.engine import free_port

UID: Final = 10001
WRITABLE: Final = ("data", "keys", "backup", "run/repeat")
_PATIENCE: Final = 60.0


class Running:
    """A process in the image; what it says is kept in ``log``."""

    def __init__(self, words: list[str], log: Path, **options: object) -> None:
        self._log = log
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                umask=0o022,
                **options,  # type: ignore[call-overload]
            )

    def said(self) -> str:
        """Return what it has said so far."""
        return self._log.read_text(encoding="utf-8")

    def ended(self) -> bool:
        """Tell whether it has ended."""
        return self._process.poll() is not None

    def wait(self) -> int:
        """Return its exit code when it has ended."""
        try:
            return self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise

    def stop(self) -> int:
        """Stop it as an engine does, and return its exit code."""
        if not self.ended():
            self._process.terminate()
        return self.wait()


@dataclass(frozen=True)
class Account:
    """How to run without rights: options of a process, a command before it, to whom folders then belong."""

    options: dict[str, object] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()
    owner: int | None = None
    stranger: int | None = None


@dataclass
class Image:
    """A root folder as a container would see it."""

    root: Path
    app: Path
    account: Account
    port: int = 0
    _runs: int = 0

    def environment(self, given: dict[str, str]) -> dict[str, str]:
        """Return what a container's process sees: the image's variables, ``given``, paths below the root."""
        declared = {**last_stage().environment, "FHIR_HOST": "127.0.0.1", **given}
        return {
            **{name: self._below(value) for name, value in declared.items()},
            "PATH": f"{self.app / 'bin'}:/usr/bin:/bin",
            "PYTHONPATH": str(self.app),
            "REPEAT_STAMP": str(self.root / "run/repeat/last"),
            "HOME": "/nonexistent",
            "FHIR_PORT": str(self.port),
            "COLUMNS": "200",
        }

    def _below(self, value: str) -> str:
        return str(self.root / value[1:]) if value.startswith(tuple(f"/{top}" for top in WRITABLE)) else value

    def start(self, words: list[str], given: dict[str, str]) -> Running:
        """Start a command where nothing can be written to."""
        self._runs += 1
        environment = self.environment(given)
        found = shutil.which(words[0], path=environment["PATH"])
        assert found, f"{words[0]} is not in the image"
        return Running(
            [*self.account.prefix, found, *map(self._below, words[1:])],
            self.root.with_name(f"{self.root.name}-{self._runs}.log"),
            cwd=self.root / "nothing",
            env=environment,
            **self.account.options,
        )

    def run(self, words: list[str], given: dict[str, str]) -> tuple[int, str]:
        """Run a command to its end; return exit code and what it said."""
        process = self.start(words, given)
        return process.wait(), process.said()

    def on_port(self) -> Image:
        """Return the same image with another port: a second server."""
        return replace(self, port=free_port(), _runs=self._runs + 100)

    def files(self) -> set[str]:
        """Return what lies where nothing may be written to."""
        return {
            path.relative_to(self.root).as_posix()
            for path in self.root.rglob("*")
            if not path.relative_to(self.root).as_posix().startswith(WRITABLE)
        }


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel of what the Dockerfile copies, and of nothing else."""
    place = tmp_path_factory.mktemp("build")
    for name in copied():
        source, target = ROOT / name, place / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "wheels"]
    subprocess.run(build, cwd=place, check=True, capture_output=True, timeout=_PATIENCE)
    (made,) = (place / "wheels").glob("*.whl")
    return made


@pytest.fixture(scope="session")
def app(wheel: Path) -> Iterator[Path]:
    """Install the wheel in a fresh folder, in which nobody who runs it may write."""
    place = Path(tempfile.mkdtemp(prefix="image-"))
    place.chmod(0o755)
    folder = place / "app"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile"]
    subprocess.run([*install, "--target", str(folder), str(wheel)], check=True, timeout=_PATIENCE)
    shutil.copyfile(DOCKER / "repeat.sh", folder / "bin/repeat")
    (folder / "bin/repeat").chmod(0o755)
    closed = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    _close(closed, _account())
    yield folder
    for path in closed:
        path.chmod(0o755)
    shutil.rmtree(place)


@pytest.fixture
def image(app: Path) -> Iterator[Image]:
    """Make a fresh root beside the program."""
    place = Path(tempfile.mkdtemp(prefix="root-"))
    place.chmod(0o755)
    root, account = place / "root", _account()
    for name in WRITABLE:
        (root / name).mkdir(parents=True, mode=0o700)
        if account.owner is not None:
            os.chown(root / name, account.owner, account.owner)
    closed = [root, root / "run", root / "nothing"]
    closed[-1].mkdir()
    _close(closed, account)
    try:
        yield Image(root, app, account, free_port())
    finally:
        for path in closed:
            path.chmod(0o755)
        shutil.rmtree(place)


def _close(folders: list[Path], account: Account) -> None:
    """Let nobody who runs write into ``folders``: they are another's, or they are closed."""
    for path in folders:
        path.chmod(0o555)
        if account.stranger is not None:
            os.chown(path, account.stranger, account.stranger)


@cache
def _account() -> Account:
    """Return how a process without rights is run here: as the image's account where that can be."""
    if os.geteuid() != 0:
        return Account()
    own = Account(options={"user": UID, "group": UID, "extra_groups": []}, owner=UID)
    try:
        tried = subprocess.run(
            [sys.executable, "-c", "import uvicorn"],
            capture_output=True,
            cwd="/",
            check=False,
            **own.options,  # type: ignore[call-overload]
        )
    except PermissionError:
        tried = None
    if tried is not None and tried.returncode == 0:
        return own
    # The interpreter is root's alone: root without its power over what belongs to others.
    return Account(prefix=("setpriv", "--bounding-set=-all", "--inh-caps=-all"), stranger=UID)
