"""The server on a real socket, an app on another origin, and Chromium to visit both.

Chromium is found on the path or named by FHIR_CHROMIUM; npm brings the real SMART client. Where they are
missing the tests say so: `apt-get install chromium npm` runs them.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import socket
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Browser, sync_playwright

from fhir_server.app import uvicorn_options
from tests.smart.conftest import populate
from tests.smart.world import World

CHROMIUM = os.environ.get("FHIR_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
NPM = shutil.which("npm")
CLIENT = "fhirclient@2.6.3"
SCRIPT = "package/build/fhir-client.pure.min.js"
DIGEST = "658dec434e308a6ba682158f1e94bfaa0f600bb500e78443369bfe7818133d90"
SCOPE = "launch/patient openid fhirUser offline_access patient/Patient.rs patient/Coverage.rs"
SCOPE += " patient/ExplanationOfBenefit.rs"

LAUNCH = """<!doctype html><script src="fhir-client.js"></script><script>
FHIR.oauth2.authorize({clientId: "browser-app", scope: "%s", iss: "%s", redirectUri: "index.html",
  pkceMode: "required"});
</script>"""
INDEX = """<!doctype html><pre id="told"></pre><script src="fhir-client.js"></script><script>
const tell = (told) => { document.getElementById("told").textContent = JSON.stringify(told); };
const ids = (bundle) => (bundle.entry || []).map((entry) => entry.resource.id);
FHIR.oauth2.ready().then(async (client) => {
  const refused = await client.request("Patient/zhao").then(() => "read", (error) => error.status);
  tell({
    patient: client.patient.id, user: client.user.fhirUser, scope: client.state.tokenResponse.scope,
    name: (await client.patient.read()).name[0].text, refused,
    coverage: ids(await client.request("Coverage")),
    benefit: ids(await client.request("ExplanationOfBenefit")),
    refreshed: Boolean((await client.refresh()).tokenResponse.access_token),
  });
}).catch((error) => tell({error: String(error)}));
</script>"""


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium, or name it in FHIR_CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def app_port() -> int:
    return _free_port()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, app_port: int) -> Iterator[World]:
    """Serve on a real socket of this machine."""
    port = _free_port()
    base = f"http://127.0.0.1:{port}/fhir"
    world = World(tmp_path_factory.mktemp("data"), base_url=base, port=port)
    world.start()
    populate(world)
    world.client(
        "browser-app",
        name="血压日记 Blood Pressure Diary",
        scope=f"{SCOPE} launch/encounter online_access patient/*.cruds user/*.rs",
        redirect_uris=(f"http://127.0.0.1:{app_port}/index.html",),
    )
    for lang in ("en-gb", "zh-cn"):
        world.user(f"changes-{lang}", roles=("patient",), fhir_user="Patient/li")
    world.seed(_stay())
    for patient in ("li", "zhao"):
        world.seed(_benefit(patient))
    options = {**uvicorn_options(world.settings), "factory": False, "loop": "asyncio", "lifespan": "off"}
    server = uvicorn.Server(uvicorn.Config(world.app, **options))
    thread = threading.Thread(target=lambda: world.runner.run(server.serve()), daemon=True)
    thread.start()
    yield world
    server.should_exit = True
    thread.join(20)
    world.close()


@pytest.fixture(scope="module")
def app(served: World, app_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve an app of two pages, with the real client, on an origin of its own."""
    if NPM is None:
        pytest.skip("needs npm, which brings the SMART client: apt-get install npm")
    folder = tmp_path_factory.mktemp("app")
    subprocess.run(
        [NPM, "pack", "--silent", CLIENT], cwd=folder, check=True, capture_output=True, timeout=120
    )
    archive = next(folder.glob("*.tgz")).read_bytes()
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        file = tar.extractfile(SCRIPT)
        assert file is not None
        script = file.read()
    assert hashlib.sha256(script).hexdigest() == DIGEST
    (folder / "fhir-client.js").write_bytes(script)
    (folder / "launch.html").write_text(LAUNCH % (SCOPE, served.settings.public_base), encoding="utf-8")
    (folder / "index.html").write_text(INDEX, encoding="utf-8")
    httpd = ThreadingHTTPServer(("127.0.0.1", app_port), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{app_port}"
    httpd.shutdown()
    httpd.server_close()
    thread.join(10)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Return where screenshots go: FHIR_PICTURES, for a person to look at, else a folder that passes away."""
    folder = Path(os.environ.get("FHIR_PICTURES") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the name is the base class's
        """Say nothing."""


def _stay() -> dict[str, object]:
    return {
        "resourceType": "Encounter",
        "id": "stay-li",
        "status": "finished",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
        "type": [{"text": "急性胰腺炎 Acute pancreatitis"}],
        "subject": {"reference": "Patient/li"},
        "period": {"start": "2026-03-01T20:30:00Z"},
        "serviceProvider": {"reference": "Organization/north", "display": "北方医院"},
    }


def _benefit(patient: str) -> dict[str, object]:
    concept = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/claim-type", "code": "pharmacy"}]}
    return {
        "resourceType": "ExplanationOfBenefit",
        "id": f"benefit-{patient}",
        "status": "active",
        "type": concept,
        "use": "claim",
        "patient": {"reference": f"Patient/{patient}"},
        "created": "2026-01-01",
        "insurer": {"reference": "Organization/north"},
        "provider": {"reference": "Organization/north"},
        "outcome": "complete",
        "insurance": [{"focal": True, "coverage": {"reference": f"Coverage/coverage-{patient}"}}],
    }
