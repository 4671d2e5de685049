"""Public 3-D electron-microscopy data: proved complete and true, written as multiscale volumes, kept in one catalog.

`open_volume` is the one thing most readers need; it is imported when it is first asked for, so that `import em_assets`
costs nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from em_assets.blocks import open_volume

__version__ = "0.1.0"
__all__ = ["__version__", "open_volume"]


def __getattr__(name: str) -> Any:
    """Import `open_volume` on first use (PEP 562)."""
    if name == "open_volume":
        from em_assets.blocks import open_volume

        return open_volume
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
