"""Names of generations in a bucket that are never used again, so that who removes one cannot hurt who writes it anew.

A bucket has no locks, and a request to remove an object may be carried out long after it was decided on: its sender
stalls, or the network does. So nothing is removed below a name under which anybody could still commit, or ever will::

    generations/5f0c….json       absent: being written, or its writer died
                                 a document: finished, to be committed by whoever finds it
                                 condemned: for good; the next writer calls the generation 5f0c…-2

The document and the condemnation are create-only puts of one key, so exactly one of writer and collector wins. A writer
who loses has nothing to commit, and writes again under the next name. A generation that has its document, and no
commit, is condemned by replacing it: its writer looks at the document after it has listed the commits and before it
takes the next number, and the collector takes that number first, with a repetition of the last commit
(`store.repeat_last_commit`). Whoever listed before that fails to commit, looks again, and finds the condemnation.

What holds for any number of writers and collectors, each of which may stall or die at each of its requests:

    Who removes a generation has seen it condemned, and behind that either that the volume has no commit, or a commit's
    number taken by its own repetition while the generation had none. Then it never gets one.

- A document is replaced by a condemnation only where the volume has a commit, and commits are never removed. So where
  a name is condemned and there is none, there never was a document: nobody has anything to commit under that name.
- A condemnation that is found proves no more than one's own: the collector who put it may be about to take the number,
  and a writer, who looked before, to take it from it. So who finds it takes a number as well.
- A condemnation is replaced by a document only where the generation has a commit. So the first commit behind the
  repetition would need a document that only a commit before it brings back, and there is none.
- A committed generation may keep the condemnation of a collector that died. Nobody removes it, readers need its commit
  only, and who would write it anew takes the next name.
"""

from collections.abc import Callable, Iterator
from itertools import count

from em_assets.remote.path import RemotePath
from em_assets.volumes.folders import Folder

CONDEMNED = b'{"condemned": true}\n'
"""In the place of a generation's document, for good."""


def names_in_turn(generation: str) -> Iterator[str]:
    """The names that a generation may have: its own, and those for when the ones before are condemned."""
    yield generation
    yield from (f"{generation}-{attempt}" for attempt in count(2))


def is_named_after(name: str, generation: str) -> bool:
    """Whether a folder's name is one of those of a generation."""
    return name == generation or (name.startswith(f"{generation}-") and name.removeprefix(f"{generation}-").isdigit())


def is_condemned(document: Folder) -> bool:
    """Whether the name that this document is of is not to be used any more; on a disk none is."""
    return isinstance(document, RemotePath) and content_of(document) == CONDEMNED


def claimed(document: RemotePath, data: bytes, is_committed: Callable[[], bool]) -> bool:
    """Put a finished generation's document; False where the name is condemned, or was finished with other bytes.

    A generation that is or was the volume is never condemned, so the document of one that is mended is replaced.
    """
    if document.create(data):
        return True
    found = content_of(document)
    if found in (data, CONDEMNED) or not is_committed():
        return found == data
    document.put(data)
    return True


def condemned(document: RemotePath, has_commits: Callable[[], bool], repeat_last_commit: Callable[[], bool]) -> bool:
    """Take a name out of use, for good; False where its generation is, or may yet be, committed.

    `repeat_last_commit` takes the next commit's number, so that nobody does who looked at the document before; False
    where the generation has a commit. `has_commits` says whether the volume has one, of whichever generation.
    """
    if document.create(CONDEMNED):
        return True
    before = content_of(document)
    if before == CONDEMNED:
        return not has_commits() or repeat_last_commit()
    if before is None or not has_commits():
        return False
    document.put(CONDEMNED)
    if repeat_last_commit():
        return True
    document.put(before)
    return False


def content_of(document: RemotePath) -> bytes | None:
    """The bytes of a generation's document, or the condemnation in its place; None where there is neither."""
    try:
        return document.read_bytes()
    except FileNotFoundError:
        return None
