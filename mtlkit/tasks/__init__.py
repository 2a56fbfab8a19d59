"""Tasks: named loss terms, metrics, drawing. One file a task."""

from typing import Annotated

from pydantic import Field

from mtlkit.tasks.base import Metric, Task
from mtlkit.tasks.normals import Normals
from mtlkit.tasks.segmentation import Segmentation

AnyTask = Annotated[Segmentation | Normals, Field(discriminator="kind")]
"""Any task's settings."""

__all__ = ["AnyTask", "Metric", "Normals", "Segmentation", "Task"]
