"""How predicted classes of pixels agree with the true ones."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mtlkit.data.samples import IGNORE
from mtlkit.errors import InputError, check_shape
from mtlkit.metrics.base import FEW_CLASSES, ImageMetric, Measures, Weights, by_class, mean_of_known
from mtlkit.metrics.resize import enlarged

BACKGROUND = "background"
"""The class of pixels that show no object."""


class Confusion(ImageMetric):
    """Every class's hits, true and predicted pixels, kept for each image; measured with pixels pooled.

    The measures are those of Long et al., *Fully Convolutional Networks*, CVPR 2015, in per cent: ``miou`` is
    averaged over the classes that occur in the truth (``classes_averaged`` says how many), ``fwiou`` weights
    classes by their pixels, ``pixel_accuracy`` is the share of labelled pixels that are right. ``iou/CLASS`` is a
    class's own, NaN where it does not occur in the truth. Where one class is called ``background``,
    ``foreground_miou`` is the mean over the others.

    Args:
        classes: their names.
    """

    def __init__(self, classes: Sequence[str]):
        super().__init__()
        self.names, self.classes = tuple(classes), len(classes)
        self.keeps("tallies", (3, self.classes + 1), torch.int32)  # the last: no class

    def update(self, output: Tensor, target: Tensor, image: Tensor | None = None) -> None:
        """Takes logits ``(N, classes, h, w)``, enlarged to the target ``(N, H, W)`` before the argmax, or ids
        ``(N, H, W)``. :data:`IGNORE` in the target is void.

        Raises:
            InputError: the shapes are others.
        """
        check_shape("The target for Confusion", target.shape, "N", "H", "W")
        if output.ndim == target.ndim:
            check_shape("The output for Confusion", output.shape, *target.shape)
            predicted = output.long()
        else:
            check_shape("The output for Confusion", output.shape, len(target), self.classes, "h", "w")
            logits = enlarged(output.float(), target)
            predicted = logits.argmax(1)  # of a NaN, where there is one
            predicted = torch.where(logits.gather(1, predicted[:, None])[:, 0].isnan(), -1, predicted)
        void, none = target == IGNORE, self.classes
        true, predicted = (torch.where((ids < 0) | (ids >= none), none, ids) for ids in (target.long(), predicted))
        # Void goes to a bin of its own: masking pixels away would make the device report how many are left.
        bins = [torch.where(predicted == true, true, none + 1), true, predicted]
        pixels = torch.where(void[:, None], none + 1, torch.stack(bins, 1)).flatten(2)
        counts = torch.zeros(*pixels.shape[:2], none + 2, dtype=torch.int32, device=target.device)
        counts.scatter_add_(2, pixels, torch.ones_like(pixels, dtype=torch.int32))
        self.add(image, tallies=counts[..., :-1])

    def measures(self, weights: Weights) -> Measures:
        """``miou``, ``foreground_miou``, ``fwiou``, ``pixel_accuracy``, ``iou/CLASS``: per cent or NaN;
        ``classes_averaged``.

        Raises:
            InputError: a pixel that is not void has a logit that is NaN, or an id outside the classes.
        """
        tallies = self.gathered("tallies").astype(np.float64)
        for place, what in ((1, "truth"), (2, "predictions")):
            if count := int(tallies[:, place, -1].sum()):
                raise InputError(
                    f"{count} pixels of the {what} for Confusion are of no class; ids should be 0 to "
                    f"{self.classes - 1}, {IGNORE} in the truth is void, and logits should not be NaN."
                )
        tallies = tallies[..., :-1]
        hits, true, predicted = np.moveaxis(np.tensordot(weights[:, self.gathered("image")], tallies, 1), 1, 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            iou = np.where(true > 0, 100 * hits / (true + predicted - hits), np.nan)
            every = true.sum(1)
            objects = [place for place, name in enumerate(self.names) if name != BACKGROUND]
            inner = {"foreground_miou": mean_of_known(iou[:, objects])} if BACKGROUND in self.names else {}
            return {
                "miou": mean_of_known(iou),
                **inner,
                "fwiou": np.where(true > 0, true * iou, 0).sum(1) / every,
                "pixel_accuracy": 100 * hits.sum(1) / every,
                "classes_averaged": (true > 0).sum(1).astype(np.float64),
                **by_class(self.names, "iou", iou),
            }

    def resamples(self, measure: str) -> bool:
        """All but the number of classes, and single classes only where there are few."""
        return measure != "classes_averaged" and ("/" not in measure or self.classes <= FEW_CLASSES)
