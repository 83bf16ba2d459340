"""What a container would run, run: entrypoint, command, health check, backup, restore, without rights."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.docker.conftest import Image, Running
from tests.docker.files import last_stage, services
from tests.mongo import engine

STAGE = last_stage()
PROFILE = services()
BASE = "https://fhir.example.org/fhir"


def words_of(service: str) -> list[str]:
    told = PROFILE[service]
    return [*told.get("entrypoint", STAGE.entrypoint), *told.get("command", STAGE.command)]


def environment_of(service: str) -> dict[str, str]:
    found: dict[str, str] = PROFILE[service]["environment"]
    return found


def running(image: Image, service: str) -> AbstractContextManager[Running]:
    """Run a service as it is declared, and stop it at the end of the block."""
    return started(image, service, environment_of(service))


@contextmanager
def started(image: Image, service: str, environment: dict[str, str]) -> Iterator[Running]:
    """Run a service, and stop it at the end of the block."""
    process = image.start(words_of(service), environment)
    try:
        yield process
    finally:
        process.stop()


def is_healthy(image: Image, words: list[str], service: str) -> bool:
    return image.run(words, environment_of(service))[0] == 0


def wait(process: Running, done: Callable[[], bool]) -> None:
    end = time.monotonic() + 90
    while not done():
        assert not process.ended(), process.said()
        assert time.monotonic() < end, process.said()
        time.sleep(0.1)


def is_ready(image: Image) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{image.port}/health/ready", timeout=30).status_code == 200
    except httpx.TransportError:
        return False


def test_the_sqlite_profile_serves_backs_up_and_comes_back(image: Image) -> None:
    before = image.files()
    for _ in range(2):  # containers are started again and again
        code, said = image.run(words_of("init"), environment_of("init"))
        assert code == 0, said
    assert not is_healthy(image, STAGE.healthcheck, "server"), "nothing serves yet"

    with running(image, "server") as server:
        wait(server, lambda: is_ready(image))
        assert is_healthy(image, STAGE.healthcheck, "server")
        told = httpx.get(f"http://127.0.0.1:{image.port}/fhir/metadata", timeout=30)
        closed = httpx.get(f"http://127.0.0.1:{image.port}/fhir/Patient", timeout=30)

        assert told.status_code == 200
        assert told.json()["implementation"]["url"] == BASE
        assert closed.status_code == 401

        check = PROFILE["backup"]["healthcheck"]["test"][1:]
        assert not is_healthy(image, check, "backup"), "nothing was copied yet"
        with running(image, "backup") as backup:
            wait(backup, (image.root / "run/repeat/last").exists)
        assert is_healthy(image, check, "backup")
        # uvicorn ends by the signal that it was told to end by, once it has closed everything.
        assert server.stop() in {0, -signal.SIGTERM}
        assert "could not" not in server.said()

    (copy,) = (image.root / "backup").iterdir()
    (image.root / "data/fhir").rename(image.root / "data/lost")
    code, said = image.run([*STAGE.entrypoint, "restore", f"/backup/{copy.name}"], environment_of("server"))
    assert code == 0, said
    with running(image, "server") as server:
        wait(server, lambda: is_ready(image))
    assert image.files() == before, "something was written outside the declared folders"


def test_the_mongo_profile_serves_with_two_servers_whose_keys_nobody_may_change(image: Image) -> None:
    before = image.files()
    secrets, keys = image.root / "data/secrets", image.root / "keys/fhir"
    code, said = image.run([*STAGE.entrypoint, "keys", "make"], {})
    assert code == 0, said
    with engine.database() as address:
        secrets.write_text(address + "\n", encoding="utf-8")
        secrets.chmod(0o444)
        for path in (keys, *keys.rglob("*")):
            path.chmod(0o500 if path.is_dir() else 0o400)
        held = {path: path.read_bytes() for path in keys.rglob("*") if path.is_file()}
        given = {**environment_of("server-a"), "FHIR_STORE_FILE": str(secrets)}
        for _ in range(2):
            code, said = image.run(words_of("init-mongo"), given)
            assert code == 0, said

        other = image.on_port()
        with started(image, "server-a", given) as one, started(other, "server-b", given) as two:
            for where, server in ((image, one), (other, two)):
                wait(server, partial(is_ready, where))
                told = httpx.get(f"http://127.0.0.1:{where.port}/fhir/metadata", timeout=30)
                assert told.json()["implementation"]["url"] == BASE
            assert image.run(STAGE.healthcheck, given)[0] == 0
            said = one.said() + two.said()

    assert address.partition("?")[0] not in said, "the address of the store was logged"
    assert {path: path.read_bytes() for path in keys.rglob("*") if path.is_file()} == held
    assert not (image.root / "data/fhir").exists(), "a server before MongoDB keeps nothing itself"
    assert image.files() == before


def test_what_runs_is_the_wheel(image: Image) -> None:
    script = (image.app / "bin/fhir-server").read_text(encoding="utf-8")
    interpreter = script.splitlines()[0].removeprefix("#!")
    program = "import fhir_server, mappings; print(fhir_server.__file__, mappings.__file__)"

    code, said = image.run([interpreter, "-c", program], {})

    assert code == 0, said
    assert [path.startswith(str(image.app)) for path in said.split()] == [True, True]


def test_what_is_not_declared_cannot_be_written_to(image: Image) -> None:
    declared = [image.run(["touch", f"/{folder}/x"], {})[0] for folder in ("data", "keys", "backup")]
    others = [
        image.run(["touch", str(folder / "x")], {})[0]
        for folder in (image.root, image.app, image.root / "nothing", image.root / "run")
    ]

    assert declared == [0, 0, 0]
    assert 0 not in others


def test_a_container_without_its_https_address_does_not_serve(image: Image) -> None:
    image.run(words_of("init"), environment_of("init"))

    code, said = image.run([*STAGE.entrypoint, *STAGE.command], {"FHIR_HOST": STAGE.environment["FHIR_HOST"]})

    assert code == 1
    assert "set FHIR_BASE_URL to the https address" in said


def test_the_wheel_is_as_large_as_a_program_and_not_as_a_project(wheel: Path) -> None:
    assert 500_000 < wheel.stat().st_size < 5_000_000


@pytest.mark.parametrize(("turns", "status"), [(2, 0), (0, 1)])
def test_repeat_runs_again_and_tells_whether_it_went_well(image: Image, turns: int, status: int) -> None:
    told = image.root / "data/told"
    script = f"echo turn >> {told}; exit {1 - min(turns, 1)}"
    process = image.start(["repeat", "0.2", "sh", "-c", script], {})
    end = time.monotonic() + 20
    while not told.exists() or told.read_text(encoding="utf-8").count("turn") < 3:
        assert time.monotonic() < end, process.said()
        time.sleep(0.05)

    assert process.stop() == 143
    assert ("the command failed" in process.said()) == bool(status)
    assert image.run(["repeat", "--healthy", "1"], {})[0] == status


def test_a_backup_that_has_not_gone_well_for_long_is_not_healthy(image: Image) -> None:
    (image.root / "run/repeat/last").write_text(str(int(time.time()) - 3 * 86400), encoding="utf-8")

    code, said = image.run(["repeat", "--healthy", "86400"], {})

    assert code == 1
    assert "last good run" in said
