"""NDDR-CNN (Gao et al., CVPR 2019): the declaration of its tables, one file a setting.

What print leaves open follows the authors' code (https://github.com/ethanygao/NDDR-CNN) at profile ``paper``; the
smaller profiles keep its optimiser, multipliers and weight decays and shrink images, heads and length. That code has
Tables 1 to 4 and 6 only.
"""
