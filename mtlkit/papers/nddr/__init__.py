"""NDDR-CNN (Gao et al., CVPR 2019): the declaration of its tables, one file a setting.

What print leaves open follows the authors' code (https://github.com/ethanygao/NDDR-CNN) at profile ``paper``; the
smaller profiles keep its optimiser, multipliers and weight decays and shrink images, heads and length. That code has
Tables 1 to 4 and 6 only.
"""

from mtlkit.papers.nddr.alexnet import TABLEA1
from mtlkit.papers.nddr.faces import TABLE7
from mtlkit.papers.nddr.scenes import TABLE4, TABLE5, TABLE6
from mtlkit.papers.nddr.sweeps import TABLE1, TABLE2, TABLE3, TABLEA2

TABLES = (TABLE1, TABLE2, TABLE3, TABLE4, TABLE5, TABLE6, TABLE7, TABLEA1, TABLEA2)
