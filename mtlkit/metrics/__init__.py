"""Metrics: statistics of every test image, and measures as functions of how much each image counts. One file a metric.

Lookup: :class:`~mtlkit.metrics.base.ImageMetric` says what a metric is, :mod:`mtlkit.metrics.bootstrap` what is drawn.

torchmetrics brings SciPy's signal processing and matplotlib along, two seconds of imports, so what only describes runs
or reads records imports no metric: tasks import theirs when one is asked for.
"""
