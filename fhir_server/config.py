"""Every setting of the server: typed, with its unit, default and a sentence.

Each is an environment variable ``FHIR_<NAME>``; ``docs/settings.md`` lists them and a test compares.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


def _zone(name: str) -> str:
    if name not in available_timezones():
        msg = f"{name!r} is not an IANA time zone such as Asia/Shanghai"
        raise ValueError(msg)
    return name


def _engine(address: SecretStr) -> SecretStr:
    if address and not address.get_secret_value().startswith(("mongodb://", "mongodb+srv://")):
        msg = "empty it for the embedded store, or say mongodb://user:password@host/database?replicaSet=name"
        raise ValueError(msg)
    return address


class Settings(BaseSettings):
    """The settings, read from the environment once at start.

    What is secret is a ``SecretStr``, which no log and no error shows, and may be given as a file instead:
    ``FHIR_STORE_FILE`` names one that holds what ``FHIR_STORE`` would.
    """

    model_config = SettingsConfigDict(
        env_prefix="FHIR_", frozen=True, extra="ignore", hide_input_in_errors=True
    )

    data: Path = Field(Path("data"), description="Folder that holds the database and, unless set, the keys.")
    keys: Path | None = Field(
        None, description="Folder of the key ring; put it on another disk than the data. Default: DATA/keys."
    )
    store: Annotated[SecretStr, AfterValidator(_engine)] = Field(
        SecretStr(""),
        description="Where the records are: empty for SQLite in FHIR_DATA, or the address of a MongoDB"
        " replica set, mongodb://user:password@host/database?replicaSet=name. Secret.",
    )
    store_file: Path | None = Field(
        None, description="File that holds FHIR_STORE, as a secret is mounted; name one of the two."
    )
    suite: Literal["standard", "guomi"] = Field(
        "standard",
        description="Cipher suite of a new store: standard (AES-256-GCM, BLAKE2b) or guomi (SM4-GCM, SM3).",
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8080, ge=1, le=65535, description="TCP port to listen on.")
    workers: int = Field(1, ge=1, le=64, description="Server processes that share the store.")
    base_url: Annotated[str, AfterValidator(lambda text: text.rstrip("/"))] = Field(
        "",
        description="Address that clients see, e.g. https://fhir.example.org/fhir; empty: from the request.",
    )
    insecure_no_auth: bool = Field(
        False, description="Development only: serve without authentication. Binds to loopback and says so."
    )
    access_token_seconds: int = Field(
        3600, ge=60, le=3600, description="Life of an access token that a person's app gets, in seconds."
    )
    backend_token_seconds: int = Field(
        300, ge=30, le=300, description="Life of an access token of Backend Services, in seconds."
    )
    session_idle_seconds: int = Field(
        1800, ge=60, description="Seconds after which a browser that was not used is logged out."
    )
    session_seconds: int = Field(
        43_200, ge=60, description="Seconds after which a browser is logged out in any case."
    )
    registration: bool = Field(
        False, description="Let any app register itself as a client that may read what its user allows."
    )
    client_rate: float = Field(
        1000, ge=0, description="Requests a second that one client may send; 0 = any number."
    )
    address_rate: float = Field(
        2000, ge=0, description="Requests a second that one network address may send; 0 = any number."
    )
    login_rate: float = Field(
        10, ge=0, description="Requests a second of one address to log-in and token pages; 0 = any number."
    )
    time_zone: Annotated[str, AfterValidator(_zone)] = Field(
        "Asia/Shanghai", description="IANA zone of dates that carry no zone of their own."
    )
    max_body_bytes: int = Field(
        64 * 1024 * 1024, ge=1024, description="Largest request body, in bytes, after unzipping."
    )
    max_entries: int = Field(5000, ge=1, description="Most entries in a batch or transaction.")
    max_convert_bytes: int = Field(
        8 * 1024 * 1024, ge=1024, description="Largest message or extract that $convert takes, in bytes."
    )
    max_convert_messages: int = Field(
        1000, ge=1, description="Most messages, or rows of a table, that $convert takes at once."
    )
    max_depth: int = Field(64, ge=8, le=400, description="Deepest nesting of a resource, in levels.")
    request_seconds: float = Field(60.0, gt=0, description="Longest time for one request, in seconds.")
    search_seconds: float = Field(
        5.0, gt=0, description="Longest time for one search in the store, in seconds."
    )
    default_count: int = Field(20, ge=1, description="Entries in a page when _count is not given.")
    max_count: int = Field(1000, ge=1, description="Most entries in a page, whatever _count asks for.")
    max_includes: int = Field(
        1000, ge=1, description="Most resources that _include and _revinclude add to a page."
    )
    full_text: bool = Field(
        False,
        description="Index the words of narratives and contents for _text and _content. Costs many index "
        "rows a resource, and shows a thief which resources share a word; turned on later it needs $reindex.",
    )
    referential_integrity: bool = Field(
        False, description="Refuse to delete a resource that another one refers to (409)."
    )
    audit: bool = Field(
        True,
        description="Record every access; may be switched off only without authentication, in development.",
    )
    consent_policy: Literal["treatment", "permit", "deny"] = Field(
        "treatment",
        description="What holds of patients who have filed no Consent, towards others than the records' own"
        " organisation: treatment by whom an agreement lets in, whatever it lets in, or nothing.",
    )
    break_glass_minutes: int = Field(
        60, ge=1, le=1440, description="Minutes for which $break-glass lifts what policy lets be lifted."
    )
    label_rules: Path | None = Field(
        None,
        description="File of labelling rules in place of the house's own (conformance/policies/labels.json).",
    )
    audit_failure: Literal["refuse", "continue"] = Field(
        "refuse",
        description="When the audit log cannot be written: refuse the request, or continue with an alarm.",
    )
    audit_retention_days: int = Field(
        3650, ge=180, description="Days that audit entries are kept before `audit prune` may remove them."
    )
    shutdown_seconds: int = Field(
        10, ge=1, description="Seconds that running requests get to finish when the server is told to stop."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level logged.")

    @model_validator(mode="before")
    @classmethod
    def _read_files(cls, given: Any) -> Any:
        """Put in the content of the file that holds a secret; the line's end after it is no part of it."""
        if not isinstance(given, dict) or not given.get("store_file"):
            return given
        if given.get("store"):
            raise ValueError("FHIR_STORE and FHIR_STORE_FILE are both set: leave one of them out")
        try:
            text = Path(given["store_file"]).read_text(encoding="utf-8").strip()
        except (OSError, ValueError):
            raise ValueError(
                "FHIR_STORE_FILE names a file that cannot be read; check path and owner"
            ) from None
        if not text:
            raise ValueError(
                "FHIR_STORE_FILE names a file that is empty; put the address of the store into it"
            )
        return {**given, "store": text}

    @property
    def auth(self) -> bool:
        """Whether every request needs a token: always, but for a development server told otherwise."""
        return not self.insecure_no_auth

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of dates without one."""
        return ZoneInfo(self.time_zone)

    @property
    def public_base(self) -> str:
        """The FHIR base as tokens name it: FHIR_BASE_URL, else the address that is listened on."""
        if self.base_url:
            return self.base_url
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/fhir"

    @property
    def key_folder(self) -> Path:
        """Where the key ring lies."""
        return self.keys if self.keys is not None else self.data / "keys"
