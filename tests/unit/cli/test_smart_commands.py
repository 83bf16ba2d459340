"""Clients, accounts, issuers, agreements and tokens from the command line, on a real store."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey

from tests.unit.cli.house import House

BASE = "http://127.0.0.1:8080/fhir"


class RealHouse(House):
    """A house whose parts are the real ones."""

    def ends(self, *arguments: str | Path, code: int = 0) -> tuple[str, str]:
        """Run a command on the data folder that must end with ``code``; return what it printed."""
        ended = self.run(*arguments, "--data", self.data)

        assert ended.code == code, ended.out + ended.err
        assert "Traceback" not in ended.err
        return ended.out, ended.err


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> RealHouse:
    built = RealHouse(tmp_path / "data", monkeypatch, capsys)
    built.forget_settings()
    built.ends("init")
    return built


def claims(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    tree: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return tree


def test_a_client_of_scripts_gets_a_token_alone_on_standard_output(house: RealHouse) -> None:
    add = ("client", "add", "--id", "script", "--scope", "system/*.rs", "--organization", "Organization/1")
    house.ends(*add, "--purpose", "TREAT")

    out, err = house.ends("token", "--client", "script", "--scope", "system/Patient.rs", "--ttl", "60")

    told = claims(out)
    assert err == ""
    assert out.count("\n") == 1
    assert (told["iss"], told["aud"], told["scope"]) == (BASE, BASE, "system/Patient.rs")
    assert (told["organization"], told["purposes"]) == ("Organization/1", ["TREAT"])
    assert told["exp"] - told["iat"] == 60


@pytest.mark.parametrize(
    "arguments",
    [
        ("--client", "nobody", "--scope", "system/*.rs"),
        ("--client", "script", "--scope", "system/*.cruds"),
        ("--client", "script", "--scope", "patient/*.rs"),
        ("--client", "script", "--scope", "patient/Patient.rs"),
        ("--client", "script", "--scope", "user/Patient.rs"),
        ("--client", "script", "--scope", "nonsense"),
        ("--client", "script", "--scope", "system/*.rs", "--purpose", "HMARKT"),
        ("--client", "script", "--scope", "system/*.rs", "--user", "nobody"),
    ],
)
def test_a_token_beyond_the_clients_registration_is_refused(
    house: RealHouse, arguments: tuple[str, ...]
) -> None:
    scope = "system/*.rs patient/Patient.rs user/Patient.rs"
    house.ends("client", "add", "--id", "script", "--scope", scope)

    out, err = house.ends("token", *arguments, code=1)

    assert out == ""
    assert err.startswith("fhir-server: ")


def test_a_token_names_the_patient_and_the_account(house: RealHouse) -> None:
    house.ends("client", "add", "--id", "app", "--scope", "patient/*.rs user/*.rs")
    house.ends("user", "add", "--id", "li", "--role", "patient", "--fhir-user", "Patient/li")

    out, _ = house.ends(
        "token", "--client", "app", "--scope", "patient/*.rs", "--patient", "li", "--user", "li"
    )

    assert (claims(out)["patient"], claims(out)["fhirUser"]) == ("li", "Patient/li")


def test_a_secret_is_printed_alone_and_once(house: RealHouse) -> None:
    redirect = ("--redirect-uri", "https://app.example.org/")
    out, _ = house.ends("client", "add", "--id", "web", "--scope", "openid", "--secret", *redirect)

    assert re.fullmatch(r"[A-Za-z0-9_\-]{43}\n", out)
    listed, _ = house.ends("client", "list")
    assert "web" in listed
    assert out.strip() not in listed


def test_a_client_with_keys_is_registered_and_one_with_private_keys_is_not(
    house: RealHouse, tmp_path: Path
) -> None:
    key = ECKey.generate_key("P-384", {"kid": "k"})
    public, private, none = (tmp_path / f"{name}.json" for name in ("public", "private", "none"))
    public.write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
    private.write_text(json.dumps({"keys": [key.as_dict(private=True)]}))
    none.write_text("no json")
    add = ("client", "add", "--scope", "system/*.rs", "--id")

    house.ends(*add, "robot", "--jwks", public)

    assert "private_key_jwt" in house.ends("client", "list")[0]
    house.ends(*add, "robot", "--jwks", public, code=1)
    house.ends(*add, "other", "--jwks", private, code=1)
    house.ends(*add, "other", "--jwks", none, code=2)
    house.ends(*add, "other", "--jwks", public, "--secret", code=2)


def test_a_client_that_was_removed_gets_no_token(house: RealHouse) -> None:
    house.ends("client", "add", "--id", "script", "--scope", "system/*.rs")
    house.ends("client", "remove", "--id", "script")

    house.ends("token", "--client", "script", "--scope", "system/*.rs", code=1)
    house.ends("client", "remove", "--id", "script", code=1)


def test_accounts_are_added_disabled_and_removed(house: RealHouse, tmp_path: Path) -> None:
    out, _ = house.ends("user", "add", "--id", "guard", "--role", "security-administrator")
    assert re.search(r"^password \S{20}$", out, re.MULTILINE)
    assert re.search(r"^totp otpauth://totp/", out, re.MULTILINE)
    password = tmp_path / "password"
    password.write_text("correct horse battery\n")
    silent, _ = house.ends("user", "add", "--id", "nurse", "--password-file", password)
    assert silent == ""

    house.ends("user", "disable", "--id", "nurse")
    assert "disabled" in house.ends("user", "list")[0]
    house.ends("user", "enable", "--id", "nurse")
    assert "disabled" not in house.ends("user", "list")[0]
    house.ends("user", "remove", "--id", "nurse")
    house.ends("user", "remove", "--id", "nurse", code=1)
    house.ends("user", "disable", "--id", "nurse", code=1)


def test_no_account_holds_two_administrators_roles(house: RealHouse) -> None:
    roles = ("--role", "security-administrator", "--role", "audit-administrator")

    _, err = house.ends("user", "add", "--id", "both", *roles, code=1)

    assert "one role" in err


def test_issuers_are_added_and_removed(house: RealHouse) -> None:
    add = ("issuer", "add", "--id", "north", "--issuer", "https://idp.example.org")
    house.ends(*add, "--audience", BASE, "--scope", "patient/*.rs")

    assert "https://idp.example.org" in house.ends("issuer", "list")[0]
    house.ends(*add, "--login", code=1)
    house.ends("issuer", "remove", "--id", "north")
    house.ends("issuer", "remove", "--id", "north", code=1)


def test_an_agreement_is_stored_as_a_contract(house: RealHouse) -> None:
    add = ("agreement", "add", "--id", "a1", "--organization", "Organization/1", "--type", "Observation")
    period = (
        "--start",
        "2026-01-01",
        "--end",
        "2026-12-31",
        "--grantor",
        "Organization/2",
        "--purpose",
        "TREAT",
    )

    _, err = house.ends(*add, *period)

    assert "in force" in err
    assert "not signed" in house.ends(*add, "--unsigned")[1]
    assert json.loads(house.ends("info", "--json")[0])["resources"] == {"Contract": 1}


def test_demo_accounts_have_one_for_each_administrator_and_a_ready_token(house: RealHouse) -> None:
    first, _ = house.ends("demo-accounts")
    second, _ = house.ends("demo-accounts")

    for role in ("system-administrator", "security-administrator", "audit-administrator"):
        assert role in first
    assert claims(second.strip().rpartition("\n")[2])["scope"] == "system/*.cruds"
    assert first != second
