"""`em-assets audit`: somebody's published claims, from a JSON file, judged by what the registry and the store know."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from em_assets import datasets
from em_assets.catalog.holdings import categories_held, claims_held
from em_assets.errors import UsageError
from em_assets.evidence import audit
from em_assets.settings import Settings

REQUIRED = ("dataset", "field", "value")
TEXTS = ("field", "unit", "said_by", "volume")
"""May be null as well, all but the field. What `dataset` and `value` may be, the audit knows best."""

EXAMPLE = '[{"dataset": "…", "field": "…", "value": …, "unit": "…", "said_by": "…"}]'


def audit_file(path: Path, settings: Settings) -> list[dict[str, Any]]:
    """The file's claims, each with `verdict`, `true_value`, `witness` and `cause`; the registry is enough to judge by.

    Raises
    ------
    UsageError
        As `read_claims`.
    """
    claims = read_claims(path)
    known = datasets.load(settings)
    return audit(claims, known, claims_held(known, settings), tags_by_dataset=categories_held(known, settings))


def read_claims(path: Path) -> list[dict[str, Any]]:
    """The claims of a file: a JSON list of objects with `dataset`, `field`, `value`, and `unit` and `said_by` if any.

    Raises
    ------
    UsageError
        There is no such file, or it is something else; the message names the row and the key.
    """
    try:
        claims = json.loads(path.read_bytes().decode("utf-8-sig"), parse_constant=_no_json, parse_float=_finite)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not JSON ({error}); {EXAMPLE} expected") from error
    if not isinstance(claims, list):
        raise UsageError(f"{path}: a list of claims expected, found {_kind(claims)}: {EXAMPLE}")
    for number, claim in enumerate(claims):
        _check(f"{path}: claim {number}", claim)
    return claims


def _check(where: str, claim: object) -> None:
    if not isinstance(claim, Mapping):
        raise UsageError(f"{where}: an object expected, found {_kind(claim)}: {EXAMPLE}")
    missing = [key for key in REQUIRED if key not in claim]
    if missing:
        raise UsageError(f"{where}: no {', '.join(missing)}; every claim needs {', '.join(REQUIRED)}")
    for key in TEXTS:
        if not isinstance(claim.get(key), str | None) or (key == "field" and claim[key] is None):
            raise UsageError(f"{where}: {key}: text expected, found {claim[key]!r}")


def _finite(digits: str) -> float:
    number = float(digits)
    return number if math.isfinite(number) else _no_json(digits)


def _no_json(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number of JSON's")


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "text", int: "a number", float: "a number", bool: "a truth value"}
    return names.get(type(value), "null")
