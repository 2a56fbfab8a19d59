"""Multi-task vision, five papers reproduced: backbones, fusion layers, heads, tasks and the graph of runs."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mtlkit.trained import Trained, load

__version__ = "0.1.0"

__all__ = ["Trained", "load"]


def __getattr__(name: str) -> Any:
    # On first use: torch and the papers take seconds to import, and most commands need neither.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from mtlkit import trained

    return getattr(trained, name)
