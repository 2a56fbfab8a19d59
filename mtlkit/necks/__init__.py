"""Necks: what turns the maps of all stages of a backbone into one map for the heads. One file per kind."""

from typing import Annotated

from pydantic import Field

from mtlkit.necks.base import Neck
from mtlkit.necks.deconvolution import Deconvolution
from mtlkit.necks.dla_up import DLAUp
from mtlkit.necks.layers import DeformableConvolution
from mtlkit.necks.shortcut import Shortcut
from mtlkit.necks.upsampling import Upsampling

NeckSettings = Annotated[
    Deconvolution.Settings | DLAUp.Settings | Upsampling.Settings | Shortcut.Settings, Field(discriminator="kind")
]
"""Any neck's settings; ``settings.build(channels of every stage, strides of every stage)`` makes it."""

__all__ = ["DLAUp", "Deconvolution", "DeformableConvolution", "Neck", "NeckSettings", "Shortcut", "Upsampling"]
