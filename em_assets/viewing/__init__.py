"""Committed volumes in neuroglancer: what is shown and how, served on this machine alone, and the links to it.

::

    scene       which volumes, in what contrast, where and how large one looks first
    state       the same as the JSON that neuroglancer reads
    public      where the archive's own copy can be seen, if it can
    files       bytes of a committed generation, each file held against the ledger first
    handlers    these files as answers to a client's requests
    serving     neuroglancer's Python server with these files beside it
"""

from em_assets.viewing.public import hosted_link
from em_assets.viewing.scene import Scene, scene_of
from em_assets.viewing.serving import Served, serving

__all__ = ["Scene", "Served", "hosted_link", "scene_of", "serving"]
