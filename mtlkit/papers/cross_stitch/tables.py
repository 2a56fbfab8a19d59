"""The declared tables, one file a setting; see the package for what they follow."""

from mtlkit.papers.cross_stitch.objects import TABLE6
from mtlkit.papers.cross_stitch.scenes import TABLE5
from mtlkit.papers.cross_stitch.sweeps import TABLE1, TABLE2, TABLE3

TABLES = (TABLE1, TABLE2, TABLE3, TABLE5, TABLE6)
