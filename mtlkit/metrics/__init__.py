"""Metrics: statistics of every test image, and measures as functions of how much each image counts. One file a metric.

Lookup: :class:`~mtlkit.metrics.base.ImageMetric` says what a metric is, :mod:`mtlkit.metrics.bootstrap` what is drawn.
"""

from mtlkit.metrics.base import ImageMetric

__all__ = ["ImageMetric"]
