"""Which files of a listing are wanted: `*` stays inside a folder, `**` crosses folders, exclude wins."""

import re
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile

_WILD = re.compile(r"[*?\[]")
_TOKEN = re.compile(r"\*\*/|\*\*|\*|\?|\[!?[^\]]+\]|.", re.DOTALL)


@dataclass(frozen=True)
class Wanted:
    """The globs of one source, on paths below its url."""

    include: tuple[str, ...] = ("**",)
    exclude: tuple[str, ...] = ()

    def __contains__(self, path: str) -> bool:
        """Whether a file of that path is wanted."""
        return any(regex.fullmatch(path) for regex in self._included) and not any(
            regex.fullmatch(path) for regex in self._excluded
        )

    def may_hold(self, folder: str) -> bool:
        """Whether a wanted file can lie below a folder, so that others need not be listed."""
        names = folder.strip("/").split("/")
        whole = f"{folder.strip('/')}/"
        if any(pattern.endswith("**") and _regex(pattern).fullmatch(whole) for pattern in self.exclude):
            return False
        return any(_may_hold(pattern.split("/"), names) for pattern in self.include)

    @property
    def roots(self) -> tuple[str, ...]:
        """The folders, and the files named in full, below which everything wanted lies; `""` is the url itself."""
        found = sorted({_literal(pattern) for pattern in self.include})
        return tuple(root for root in found if not any(_is_below(root, other) for other in found))

    @cached_property
    def _included(self) -> list[re.Pattern[str]]:
        return [_regex(pattern) for pattern in self.include]

    @cached_property
    def _excluded(self) -> list[re.Pattern[str]]:
        return [_regex(pattern) for pattern in self.exclude]


def _regex(pattern: str) -> re.Pattern[str]:
    return re.compile("".join(_translated(token) for token in _TOKEN.findall(pattern)), re.DOTALL)


def _translated(token: str) -> str:
    wild = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    if token in wild:
        return wild[token]
    if len(token) > 2 and token.startswith("["):
        inside = token[1:-1].replace("\\", "\\\\")
        return f"(?!/)[{'^' + inside[1:] if inside.startswith('!') else inside}]"
    return re.escape(token)


def _may_hold(pattern: list[str], names: list[str]) -> bool:
    for index, name in enumerate(names):
        if index >= len(pattern) - 1:  # the last part names a file, unless it crosses folders
            return pattern[-1].startswith("**") if index == len(pattern) - 1 else False
        if "**" in pattern[index]:
            return True
        if not _regex(pattern[index]).fullmatch(name):
            return False
    return True


def _literal(pattern: str) -> str:
    return "/".join(takewhile(lambda part: not _WILD.search(part), pattern.split("/")))


def _is_below(path: str, folder: str) -> bool:
    return path != folder and (folder == "" or path.startswith(f"{folder}/"))
