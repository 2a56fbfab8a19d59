"""The declared tables, one file a setting; see the package for what they follow."""

from mtlkit.papers.nddr.alexnet import TABLEA1
from mtlkit.papers.nddr.faces import TABLE7
from mtlkit.papers.nddr.scenes import TABLE4, TABLE5, TABLE6
from mtlkit.papers.nddr.sweeps import TABLE1, TABLE2, TABLE3, TABLEA2

TABLES = (TABLE1, TABLE2, TABLE3, TABLE4, TABLE5, TABLE6, TABLE7, TABLEA1, TABLEA2)
