"""The declared tables, one file a setting; see the package for what they follow."""

from mtlkit.papers.cross_stitch.objects import TABLE6
from mtlkit.papers.cross_stitch.scenes import TABLE5

TABLES = (TABLE5, TABLE6)
