"""Tags without the names of the people at the microscope: what paths and e-mail addresses tell of them.

Off unless it is asked for (`EM_ASSETS_REDACT`); the raw files keep their bytes either way.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from em_assets.model import Tag

NOBODY = "REDACTED"

# Possessive (`++`) and anchored by what stands before, so that no text, however long, makes them try twice.
_WINDOWS_HOME = re.compile(
    r"((?:\\|(?<!\w)[A-Za-z]:/)(?:Users|Documents and Settings)[\\/]+)[^\\/:*?\"<>|\r\n]++", re.IGNORECASE
)
_POSIX_HOME = re.compile(r"(?<![\w.:/])((?:/[\w.+-]++)*?/(?:home|Users)/)[^/\s\"'<>|:;,]++")
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]++@(?=[\w-]+\.\w)")


def redacted(tags: Iterable[Tag]) -> Iterator[Tag]:
    """The same tags; where a value holds a home folder or an e-mail address, `REDACTED` stands for the name."""
    for tag in tags:
        yield tag._replace(value=_without_names(tag.value))


def redacted_text(text: str) -> str:
    r"""`C:\Users\NAME\…`, `/home/NAME/…`, `/Users/NAME/…` and `NAME@domain` without the name, all else as it is."""
    text = _WINDOWS_HOME.sub(rf"\1{NOBODY}", text)
    text = _POSIX_HOME.sub(rf"\1{NOBODY}", text)
    return _EMAIL.sub(f"{NOBODY}@", text)


def _without_names(value: Any) -> Any:
    if isinstance(value, str):
        return redacted_text(value)
    if isinstance(value, dict):
        return {key: _without_names(item) for key, item in value.items()}
    return [_without_names(item) for item in value] if isinstance(value, list) else value
