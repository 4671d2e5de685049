"""Categories of tags, the first names of their paths: which datasets carry which, and in which of their files."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

Carriers = dict[str, dict[str, list[str]]]
"""Category → dataset → its files; all sorted."""

FIRST_NAME = r"^([^.\[]+)[.\[].*$"
LAST_PART = r"^.*/"
NOTHING = "^$"
WHOLE_FILE = "(the whole file)"


def categories(tags: "pa.Table") -> Carriers:
    """Who carries what.

    Arrow finds the categories, so that a table of millions of tags becomes Python objects only when it is small.
    """
    found = tags.select(["dataset", "file"]).append_column("category", _category(tags))
    rows = found.group_by(["category", "dataset", "file"], use_threads=False).aggregate([]).to_pylist()
    carriers: Carriers = {}
    for row in sorted(rows, key=lambda row: (row["category"], row["dataset"], row["file"])):
        carriers.setdefault(row["category"], {}).setdefault(row["dataset"], []).append(row["file"])
    return carriers


def category_names(tags: "pa.Table") -> list[str]:
    """The categories of one dataset's tags, sorted."""
    return sorted(map(str, _category(tags).unique().to_pylist()))


def _category(tags: "pa.Table") -> "pa.ChunkedArray[Any]":
    """The category of each tag.

    A tag without a name of its own is a whole document, like an empty `s0/.zattrs`: the document names its category.
    """
    import pyarrow.compute as pc

    first_name = pc.replace_substring_regex(tags["path"], FIRST_NAME, r"\1")
    document = pc.replace_substring_regex(tags["container"], LAST_PART, "")
    # Patterns instead of comparing with a scalar, which imports pandas.
    named = pc.if_else(pc.match_substring_regex(first_name, NOTHING), document, first_name)
    category: pa.ChunkedArray[Any] = pc.replace_substring_regex(named, NOTHING, WHOLE_FILE)
    return category
