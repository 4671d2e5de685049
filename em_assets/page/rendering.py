"""The page as text: jinja2 with everything escaped, one style and one script, which its policy names by digest.

Whatever archives, files and people wrote is text here and nothing else: it reaches neither a script nor a style, and
where a browser could be tricked into reading it as one, the policy refuses.
"""

import base64
import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from em_assets.page import figures
from em_assets.page.catalogue import Catalogue
from em_assets.page.checks import FOR_DAGSTER

if TYPE_CHECKING:
    from jinja2 import Environment

MOST_CHARACTERS = 4_000
"""Of one text; what an archive says in more is cut, and the page says so."""

MOST_TO_COPY = 100_000
"""Of what people copy, which must not be cut."""

SCHEMES = ("https", "http", "ftp")
"""Of addresses that become links."""

# Controls, and what turns the direction of the text around it: `\u202e` makes `gnp.exe` of `exe.png`.
_HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")

_FOLDER = Path(__file__).parent


def page_html(catalogue: Catalogue) -> str:
    """The whole page: one document that asks for nothing else, the same for the same catalogue."""
    style, script = (_FOLDER / "page.css").read_text("utf-8"), (_FOLDER / "page.js").read_text("utf-8")
    environment = _environment()
    from markupsafe import Markup

    text: str = environment.get_template("page.html").render(
        catalogue=catalogue,
        style=Markup(style),
        script=Markup(script),
        policy=_policy(style, script),
        for_dagster=FOR_DAGSTER,
    )
    return text


def shown(value: object, most: int = MOST_CHARACTERS) -> str:
    """A text that a browser shows as it is, without controls, and cut where it is very long."""
    text = _HARMFUL.sub("\N{REPLACEMENT CHARACTER}", str(value))
    return text if len(text) <= most else f"{text[:most]} … ({len(text):,} characters)"


def link(address: str | None) -> str | None:
    """The address where it may become a link; None where it is none of the web: `s3://…`, `javascript:…`."""
    if address is None or _HARMFUL.search(address):
        return None
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    return address if parts.scheme in SCHEMES and parts.netloc else None


def doi_link(doi: str | None) -> str | None:
    """Where a DOI is resolved; None for what is none."""
    if doi is None or not re.fullmatch(r"10\.\d{4,9}(\.\d+)?/\S+", doi):
        return None
    return f"https://doi.org/{quote(doi, safe='/')}"


def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup, escape

    def finalize(value: object) -> object:
        return value if isinstance(value, Markup) else shown(value)

    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    filters: dict[str, Any] = {
        "base64": lambda png: Markup(base64.b64encode(png).decode()),
        "counted": figures.count,
        "doi_link": doi_link,
        "measured": figures.length,
        "link": link,
        "sized": figures.size,
        "whole": lambda text: escape(shown(text, MOST_TO_COPY)),
    }
    environment.filters |= filters
    return environment


def _policy(style: str, script: str) -> str:
    """Nothing but the page's own style and script, and pictures inside it."""
    return (
        f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
