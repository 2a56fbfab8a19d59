"""Images of any pixel mode as RGB."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision import tv_tensors

from mtlkit.errors import InputError


def read_picture(path: Path, *, upright: bool = False) -> Tensor:
    """A picture of any pixel mode as RGB, uint8 ``(3, H, W)``; grey is repeated, transparency ignored.

    Args:
        path: of the file.
        upright: turned as its EXIF orientation says, if it has one; pictures of data sets are read as they are stored.

    Raises:
        InputError: the file is no picture, is cut off, or has floating-point pixels.
    """
    try:
        with Image.open(path) as picture:
            return as_rgb(ImageOps.exif_transpose(picture) if upright else picture, str(path))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # what Pillow raises for damage
        raise InputError(f"{path} cannot be read as a picture ({error}); copy or write it again.") from error


def as_rgb(picture: Image.Image, name: str) -> Tensor:
    """The same of an open picture.

    Args:
        picture: of any pixel mode.
        name: how a message calls it.

    Raises:
        InputError: it has floating-point pixels.
    """
    mode = picture.mode
    if mode == "F":
        raise InputError(f"{name} has floating-point pixels; a picture needs 8 or 16 bits a channel.")
    if mode.startswith("I"):
        # Pillow clips 16 bits at 255; the high byte is what it takes of 16-bit colour.
        pixels = (np.array(picture) >> 8).clip(0, 255).astype(np.uint8)[..., None].repeat(3, axis=2)
    else:
        # Via RGBA, or Pillow warns of the transparency that RGB has no place for.
        opaque = picture.convert("RGBA") if "transparency" in picture.info else picture
        pixels = np.array(opaque.convert("RGB"))
    image: Tensor = tv_tensors.Image(torch.from_numpy(pixels).permute(2, 0, 1).contiguous())
    return image
