"""Images of any pixel mode as RGB."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision import tv_tensors

from mtlkit.errors import InputError


def read_image(path: Path, *, upright: bool = False) -> Tensor:
    """An image of any pixel mode as RGB, uint8 ``(3, H, W)``; grey is repeated, transparency ignored.

    Args:
        path: of the file.
        upright: turned as its EXIF orientation says, if it has one; images of data sets are read as they are stored.

    Raises:
        InputError: the file is no image, is cut off, or has floating-point pixels.
    """
    try:
        with Image.open(path) as opened:
            return as_rgb(ImageOps.exif_transpose(opened) if upright else opened, str(path))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # what Pillow raises for damage
        raise InputError(f"{path} cannot be read as an image ({error}); copy or write it again.") from error


def as_rgb(opened: Image.Image, name: str) -> Tensor:
    """The same of an open image.

    Args:
        image: of any pixel mode.
        name: how a message calls it.

    Raises:
        InputError: it has floating-point pixels.
    """
    mode = opened.mode
    if mode == "F":
        raise InputError(f"{name} has floating-point pixels; an image needs 8 or 16 bits a channel.")
    if mode.startswith("I"):
        # Pillow clips 16 bits at 255; the high byte is what it takes of 16-bit colour.
        pixels = (np.array(opened) >> 8).clip(0, 255).astype(np.uint8)[..., None].repeat(3, axis=2)
    else:
        # Via RGBA, or Pillow warns of the transparency that RGB has no place for.
        opaque = opened.convert("RGBA") if "transparency" in opened.info else opened
        pixels = np.array(opaque.convert("RGB"))
    image: Tensor = tv_tensors.Image(torch.from_numpy(pixels).permute(2, 0, 1).contiguous())
    return image
