"""Narrative: well-formed XHTML that shows text and images and can do nothing.

https://hl7.org/fhir/R4/narrative.html#xhtml (rules txt-1 and txt-2)
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from lxml import etree

XHTML = "http://www.w3.org/1999/xhtml"
MAX_NARRATIVE = 1024 * 1024
_XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"

# HTML 4.0 chapters 7-11 (without section 4 of 9) and 15, <a>, and images.
_ELEMENTS = frozenset(
    [
        "a",
        "abbr",
        "acronym",
        "address",
        "area",
        "b",
        "bdo",
        "big",
        "blockquote",
        "br",
        "caption",
        "cite",
        "code",
        "col",
        "colgroup",
        "dd",
        "dfn",
        "div",
        "dl",
        "dt",
        "em",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
        "i",
        "img",
        "kbd",
        "li",
        "map",
        "ol",
        "p",
        "pre",
        "q",
        "samp",
        "small",
        "span",
        "strong",
        "sub",
        "sup",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "tr",
        "tt",
        "ul",
        "var",
    ]
)
_EVERYWHERE = frozenset(
    {*["accesskey", "align", "class", "dir", "id", "idref", "lang", "style", "tabindex", "title"], _XML_LANG}
)
_CELLS = frozenset(
    [
        "abbr",
        "axis",
        "char",
        "charoff",
        "colspan",
        "headers",
        "nowrap",
        "rowspan",
        "scope",
        "span",
        "valign",
        "width",
        "height",
        "bgcolor",
    ]
)
_LISTED = frozenset(["compact", "start", "type", "value"])
_ATTRIBUTES = {
    "a": frozenset(["charset", "coords", "href", "hreflang", "name", "rel", "rev", "shape", "type"]),
    "area": frozenset(["alt", "coords", "href", "nohref", "shape"]),
    "blockquote": frozenset({"cite"}),
    "hr": frozenset(["noshade", "size", "width"]),
    "img": frozenset(["alt", "border", "height", "ismap", "longdesc", "name", "src", "usemap", "width"]),
    "map": frozenset({"name"}),
    "pre": frozenset({"width", "{http://www.w3.org/XML/1998/namespace}space"}),
    "q": frozenset({"cite"}),
    "table": frozenset(["border", "cellpadding", "cellspacing", "frame", "rules", "summary", "width"]),
    **dict.fromkeys(("td", "th", "tr", "col", "colgroup", "tbody", "thead", "tfoot"), _CELLS),
    **dict.fromkeys(("ol", "ul", "li"), _LISTED),
}
_LINKS = frozenset({"href", "src", "cite", "longdesc", "usemap"})
_SCHEMES = frozenset({"", "cid", "ftp", "http", "https", "mailto", "sms", "tel", "urn"})
_SCHEME = re.compile(r"([^/?#:]*):")
_IMAGE = re.compile(r"data:image/(?:png|gif|jpe?g|bmp|webp)[;,]", re.IGNORECASE)
# What browsers skip inside a scheme: "java\tscript:" runs.
_SKIPPED = re.compile("[\x00-\x20\x7f-\x9f\u200b-\u200f\u2028-\u202f\u2060\ufeff]+")
_ACTIVE_STYLE = re.compile(
    r"expression\(|javascript|vbscript|@import|behaviou?r|-moz-binding|\\|/\*", re.IGNORECASE
)
_STYLE_URL = re.compile(r"url\(['\"]?([^'\")]*)", re.IGNORECASE)
_MEMO_LENGTH = 2000


def narrative_problem(value: Any) -> str | None:
    """Say why ``value`` is no valid ``Narrative.div``, None when it is one; never quotes the narrative."""
    if type(value) is not str or not value.lstrip().startswith("<div"):
        return "The narrative must be one <div> element of XHTML, as a string."
    if len(value) > MAX_NARRATIVE:
        return "The narrative is longer than 1 MB; make it shorter."
    return _examined(value) if len(value) > _MEMO_LENGTH else _remembered(value)


def _examined(text: str) -> str | None:
    # No DTD, no entities, no network; the parser's own limit of 256 levels stands.
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(text.encode(), parser)
    except (etree.XMLSyntaxError, UnicodeEncodeError, ValueError):
        return "The narrative is not well-formed XML; use numeric references, for example &#160; for &nbsp;."
    if root.tag != f"{{{XHTML}}}div":
        return f'The narrative must be a <div xmlns="{XHTML}">.'
    for element in root.iter():
        problem = _element_problem(element)
        if problem:
            return problem
    if "".join(map(str, root.itertext())).strip() or root.find(f".//{{{XHTML}}}img") is not None:
        return None
    return "The narrative is empty: it must hold some text or an image (txt-2)."


_remembered = lru_cache(maxsize=2048)(_examined)


def _element_problem(element: etree._Element) -> str | None:  # noqa: PLR0911 - one way out per rule
    if isinstance(element, etree._Comment):  # noqa: SLF001 - lxml names no public class
        return None
    if not isinstance(element.tag, str):
        return "The narrative must hold no processing instructions and no entities (txt-1)."
    name = element.tag.removeprefix(f"{{{XHTML}}}")
    if name not in _ELEMENTS:
        return "The narrative may hold only formatting, links and images (txt-1)."
    allowed = _ATTRIBUTES.get(name, frozenset())
    for attribute, value in element.items():
        if attribute not in _EVERYWHERE and attribute not in allowed:
            return (
                "The narrative holds an attribute that FHIR does not allow, such as an event handler (txt-1)."
            )
        if attribute in _LINKS and not _is_safe_link(str(value), image=name == "img"):
            return "The narrative may link only to http, https, mailto, tel or a fragment (txt-1)."
        if attribute == "style" and not _is_safe_style(str(value)):
            return "The narrative has a style that runs something; use plain properties (txt-1)."
    return None


def _is_safe_style(style: str) -> bool:
    # Images are allowed, and HL7's own narratives take theirs from the style: url(tbl_bck1.png).
    packed = _SKIPPED.sub("", style)
    return _ACTIVE_STYLE.search(packed) is None and all(
        _is_safe_link(link, image=True) for link in _STYLE_URL.findall(packed)
    )


def _is_safe_link(link: str, *, image: bool) -> bool:
    packed = _SKIPPED.sub("", link)
    if image and _IMAGE.match(packed):
        return True
    scheme = _SCHEME.match(packed)
    return scheme is None or scheme[1].lower() in _SCHEMES
