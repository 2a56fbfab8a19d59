"""Multi-task vision, five papers reproduced: backbones, fusion layers, heads, tasks and the graph of runs."""

__version__ = "0.1.0"
