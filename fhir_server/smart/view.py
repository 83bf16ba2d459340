"""The pages as HTTP responses: rendered here, without scripts, without anything from elsewhere.

https://cheatsheetseries.owasp.org/cheatsheets/Content_Security_Policy_Cheat_Sheet.html
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from jinja2 import DictLoader, Environment, StrictUndefined
from starlette.responses import HTMLResponse, Response

from fhir_server.access.scopes import Rights, Scope
from fhir_server.smart.granting import OFFLINE, ONLINE
from fhir_server.smart.texts import LANGUAGES, TEXTS, TYPES_ZH

_POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'{target}; "
    "frame-ancestors 'none'; base-uri 'none'"
)
SAFE: Final = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin-allow-popups",
}


class Line(NamedTuple):
    """One scope on the consent page: its tick, its words, and what narrows it."""

    scope: str
    text: str
    detail: str


@lru_cache(maxsize=1)
def _environment() -> Environment:
    folder = files("fhir_server.smart").joinpath("pages")
    sources = {
        file.name: file.read_text(encoding="utf-8")
        for file in folder.iterdir()
        if file.name.endswith(".html")
    }
    return Environment(
        loader=DictLoader(sources), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )


@lru_cache(maxsize=1)
def style() -> bytes:
    """Return the style sheet."""
    return files("fhir_server.smart").joinpath("pages", "style.css").read_bytes()


def words(lang: str, key: str, **values: object) -> str:
    """Return a text of the pages in a language."""
    return TEXTS[lang][key].format(**values)


def page(
    name: str,
    lang: str,
    auth: str,
    *,
    status: int = 200,
    problem: str = "",
    goes_to: str = "",
    **values: Any,
) -> Response:
    """Render a page. ``auth``: path of the authorization server. ``goes_to``: where its form may lead too.

    A browser counts the redirect that follows a form as the form's target, so the app's address is named.
    """

    def translate(key: str, **given: object) -> str:
        return words(lang, key, **given)

    html = _environment().get_template(f"{name}.html")
    text = html.render(t=translate, lang=lang, languages=LANGUAGES, auth=auth, problem=problem, **values)
    policy = _POLICY.format(target=f" {_source(goes_to)}" if goes_to else "")
    headers = {**SAFE, "content-security-policy": policy, "content-language": lang}
    return HTMLResponse(text, status, headers)


def _source(uri: str) -> str:
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme in ("http", "https") else f"{parts.scheme}:"


def consent_lines(rights: Rights, lang: str) -> tuple[list[Line], list[str]]:
    """Return what a person may deselect, in words, and the scopes that are part of the launch itself."""
    lines = [_line(scope, lang) for scope in rights.scopes]
    for name, key in ((OFFLINE, "offline"), (ONLINE, "online")):
        if name in rights.other:
            lines.append(Line(name, words(lang, key), ""))
    identity = sorted(rights.other & {"openid", "fhirUser", "profile"})
    if identity:
        lines.append(Line(" ".join(identity), words(lang, "identity"), ""))
    kept = rights.other - {OFFLINE, ONLINE, *identity}
    return lines, sorted(kept)


def _line(scope: Scope, lang: str) -> Line:
    name = words(lang, "all") if scope.type == "*" else scope.type
    if lang == "zh":
        name = TYPES_ZH.get(scope.type, scope.type)
    acts = [words(lang, letter) for letter in "rscud" if letter in scope.letters]
    text = "、".join(acts) + f"：{name}" if lang == "zh" else f"{', '.join(acts)}: {name}".capitalize()
    if lang != "zh" and scope.type != "*":
        text = f"{', '.join(acts).capitalize()}: {scope.type}"
    query = ", ".join(f"{parameter} = {value}" for parameter, value in scope.parameters)
    return Line(scope.text, text, words(lang, "narrowed", filter=query) if query else "")
