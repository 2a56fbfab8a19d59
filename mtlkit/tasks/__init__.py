"""Tasks: named loss terms, metrics, drawing. One file per task."""

from typing import Annotated

from pydantic import Field

from mtlkit.tasks.age import Age
from mtlkit.tasks.attributes import Attributes
from mtlkit.tasks.base import ClassTask, DenseTask, Task
from mtlkit.tasks.calories import Calories
from mtlkit.tasks.center_detection import CenterDetection
from mtlkit.tasks.classification import Classification
from mtlkit.tasks.coded_normals import CodedNormals
from mtlkit.tasks.depth import Depth
from mtlkit.tasks.embedding import Embedding
from mtlkit.tasks.normals import Normals
from mtlkit.tasks.region_detection import RegionDetection
from mtlkit.tasks.segmentation import Segmentation

AnyTask = Annotated[
    Segmentation
    | Normals
    | CodedNormals
    | Depth
    | Classification
    | Age
    | RegionDetection
    | Attributes
    | CenterDetection
    | Calories
    | Embedding,
    Field(discriminator="kind"),
]
"""Any task's settings."""

__all__ = [
    "Age",
    "AnyTask",
    "Attributes",
    "Calories",
    "CenterDetection",
    "ClassTask",
    "Classification",
    "CodedNormals",
    "DenseTask",
    "Depth",
    "Embedding",
    "Normals",
    "RegionDetection",
    "Segmentation",
    "Task",
]
