"""A service that keeps what it is sent in memory, so that the commands are tested without a store."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fhir_server.cli import main, parts
from fhir_server.config import Settings
from fhir_server.faults import Fault, Kind
from fhir_server.interactions.request import Reply, Request
from fhir_server.store.api import Facts, Stored

Tree = dict[str, Any]
Judge = Callable[[Tree], Fault | None]


@dataclass
class Door:
    """Stands for the one door: refuses what ``judge`` refuses, keeps the rest."""

    judge: Judge = lambda _: None
    requests: list[Tree] = field(default_factory=list)
    stored: list[Tree] = field(default_factory=list)

    async def run(self, request: Request) -> Reply:
        assert request.name == "batch"
        assert request.body is not None
        self.requests.append(request.body)
        if request.body["type"] == "transaction":
            return self._transaction(request.body)
        responses = [{"response": self._entry(entry)} for entry in request.body["entry"]]
        return Reply(200, json.dumps({"entry": responses}).encode())

    def _transaction(self, bundle: Tree) -> Reply:
        for entry in bundle["entry"]:
            if fault := self.judge(entry["resource"]):
                raise fault
        self.stored += [entry["resource"] for entry in bundle["entry"]]
        return Reply(200)

    def _entry(self, entry: Tree) -> Tree:
        fault = self.judge(entry["resource"])
        if fault is None:
            self.stored.append(entry["resource"])
            return {"status": "201 Created"}
        issue = {"severity": "error", "code": fault.kind.code, "diagnostics": fault.diagnostics}
        return {"status": f"{fault.kind.status} Refused", "outcome": {"issue": [issue]}}


@dataclass
class KeptStore:
    """Stands for a sealing store: says what it was told to say."""

    damage: list[str] = field(default_factory=list)
    kept: list[Stored] = field(default_factory=list)
    resealed: int = 0

    async def facts(self) -> Facts:
        return Facts("sqlite", 1, "standard", {"Patient": 41, "Observation": 1716}, 1800, 2_500_000)

    async def check(self) -> list[str]:
        return self.damage

    async def scan(self, _visibility: object) -> AsyncIterator[Stored]:
        for each in self.kept:
            yield each

    async def reseal(self, progress: Callable[[int, int], None]) -> int:
        progress(5, 5)
        self.resealed += 5
        return 5

    async def retire(self) -> tuple[int, ...]:
        return (1,) if self.resealed else ()


@dataclass
class Ended:
    """How a command ended: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


@dataclass
class House:
    """A data folder with real keys, a door, a store and a way to run commands."""

    data: Path
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]
    door: Door = field(default_factory=Door)
    store: KeptStore = field(default_factory=KeptStore)
    closed: int = 0

    def run(self, *arguments: str | Path, stdin: bytes = b"") -> Ended:
        """Run a command to its end, by the entry point that a shell calls."""
        self.monkeypatch.setattr(sys, "argv", ["fhir-server", *map(str, arguments)])
        self.monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as ended:
            main()
        printed = self.capsys.readouterr()
        return Ended(int(ended.value.code or 0), printed.out, printed.err)

    def load(self, *arguments: str | Path, stdin: bytes = b"") -> Ended:
        """Run `fhir-server load` on the data folder."""
        return self.run("load", "--data", self.data, *arguments, stdin=stdin)

    def furnish(self) -> None:
        """Put the door and the store in the place of the real ones."""

        @asynccontextmanager
        async def opened(settings: Settings) -> AsyncIterator[SimpleNamespace]:
            assert settings.data == self.data
            yield SimpleNamespace(run=self.door.run, store=self.store)
            self.closed += 1

        self.monkeypatch.setattr(parts, "opened", opened)
        self.forget_settings()

    def forget_settings(self) -> None:
        """Forget the environment's settings, and print on a wide page."""
        self.monkeypatch.setenv("COLUMNS", "200")
        for name in Settings.model_fields:
            self.monkeypatch.delenv(f"FHIR_{name.upper()}", raising=False)


def refuse(reason: str, *, when: Callable[[Tree], bool], kind: Kind = Kind.UNPROCESSABLE) -> Judge:
    """Return a judge that refuses what ``when`` is true of."""
    return lambda resource: Fault(kind, reason, "Patient.name") if when(resource) else None
