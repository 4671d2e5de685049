"""What mkdocs does to our pages: the same files read well on a code host and as a site (`docs/documentation.md`).

- README.md, CHANGELOG.md and the schema's pages lie outside docs/ and become pages; links to them follow.
- `<!-- include README.md "How fast" -->` becomes that section, so that a figure stands in one place.
- The words behind a fence's language are for the tests that run the block; `file=` becomes a title.
- A comment of several lines holds what the tests need before a page begins, and is taken out.
"""

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

REPOSITORY = Path(__file__).resolve().parents[1]

_NAMES = (
    "README.md",
    "CHANGELOG.md",
    *sorted(str(at.relative_to(REPOSITORY)) for at in REPOSITORY.glob("schema/v*/*.md")),
)

# README.md would be the index of its folder for mkdocs; these have another, or none.
OUTSIDE = {name: name.replace("README.md", "overview.md").replace("CHANGELOG.md", "changelog.md") for name in _NAMES}
"""File of the repository → its page."""

_LINK = re.compile(r"\]\(([^)\s#:]+)(#[^)\s]*)?\)")
_INCLUDE = re.compile(r'^<!-- include (?P<file>\S+) "(?P<section>[^"]+)" -->$', re.MULTILINE)
_HIDDEN = re.compile(r"^<!--\n.*?^-->\n", re.MULTILINE | re.DOTALL)
_FENCE = re.compile(r"^( *```\w+) (.+)$", re.MULTILINE)


def on_files(files: "Files", *, config: "MkDocsConfig") -> "Files":
    """Add the pages that lie outside docs/."""
    from mkdocs.structure.files import File

    for name, page in OUTSIDE.items():
        files.append(File.generated(config, page, content=(REPOSITORY / name).read_text()))
    return files


def on_page_markdown(markdown: str, *, page: "Page", config: "MkDocsConfig", files: "Files") -> str:
    """Make a page of our Markdown into one of mkdocs' Markdown."""
    here = page.file.src_uri
    in_repository = next((name for name, outside in OUTSIDE.items() if outside == here), f"docs/{here}")
    markdown = _follow_links(_HIDDEN.sub("", markdown), in_repository, here, files)
    markdown = _INCLUDE.sub(
        lambda match: _follow_links(_section(*match.groups()), match["file"], here, files), markdown
    )
    return _FENCE.sub(_titled, markdown)


def on_page_content(html: str, *, page: "Page", config: "MkDocsConfig", files: "Files") -> str:
    """Take out the two colons that stand before an example in a docstring, for readers of the source."""
    return html.replace("<p>::</p>", "").replace("::</p>", ":</p>")


def _follow_links(markdown: str, in_repository: str, here: str, files: "Files") -> str:
    """Relative links of a file of the repository as links of the page `here`.

    What leads to no page is left as it is, for mkdocs to find.
    """

    def follow(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(in_repository), match[1]))
        source = OUTSIDE.get(target, target.removeprefix("docs/"))
        if files.get_file_from_path(source) is None:
            return match[0]
        return f"]({posixpath.relpath(source, posixpath.dirname(here) or '.')}{match[2] or ''})"

    return _LINK.sub(follow, markdown)


def _section(file: str, heading: str) -> str:
    """What stands under a heading of the second level.

    Raises
    ------
    PluginError
        There is no such heading.
    """
    from mkdocs.exceptions import PluginError

    for section in re.split(r"^## ", (REPOSITORY / file).read_text(), flags=re.MULTILINE)[1:]:
        title, _, text = section.partition("\n")
        if title == heading:
            return text.strip()
    raise PluginError(f"{file}: no section {heading!r} to include")


def _titled(match: re.Match[str]) -> str:
    name = re.search(r"\bfile=(\S+)", match[2])
    return f'{match[1]} title="{name[1]}"' if name else match[1]
