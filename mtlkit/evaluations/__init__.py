"""The kinds of evaluation: what can be measured of networks, data and specifications. One file per kind."""

from mtlkit.evaluations.best_on_validation import BestOnValidation
from mtlkit.evaluations.category_gains import CategoryGains
from mtlkit.evaluations.category_mean import CategoryMean
from mtlkit.evaluations.constant import Constant
from mtlkit.evaluations.cost import Cost
from mtlkit.evaluations.ensemble import Ensemble
from mtlkit.evaluations.features import FeatureExtraction
from mtlkit.evaluations.retrieval import Retrieval
from mtlkit.evaluations.snapshots import Snapshot, SnapshotEnsemble, snapshots
from mtlkit.evaluations.speed import Speed
from mtlkit.evaluations.test_split import TestEvaluation
from mtlkit.evaluations.tilted import Tilted

__all__ = [
    "BestOnValidation",
    "CategoryGains",
    "CategoryMean",
    "Constant",
    "Cost",
    "Ensemble",
    "FeatureExtraction",
    "Retrieval",
    "Snapshot",
    "SnapshotEnsemble",
    "Speed",
    "TestEvaluation",
    "Tilted",
    "snapshots",
]
