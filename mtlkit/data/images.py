"""Image files: the one way in which every layout reads them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError
from torch import Tensor
from torchvision import tv_tensors

from mtlkit.data.paths import inside
from mtlkit.data.splits import some
from mtlkit.errors import InputError
from mtlkit.files import regular

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
"""What a file may be, whatever its name ends in. Pillow starts other programs for some further formats."""

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
"""What names of images end in, in any case, where a layout lists folders for them."""

_OTHERS = (".jfif", ".jpe", ".jp2", ".gif", ".ppm", ".pgm", ".pbm", ".heic", ".heif", ".avif", ".tga", ".dng")

LARGEST = 178_956_970
"""Pixels of the largest image that is read; the limit above which Pillow assumes a decompression bomb."""


@contextmanager
def opened(path: Path, root: Path | None = None) -> Iterator[ImageFile.ImageFile]:
    """An image file, open and not yet decoded; what fails while it is open is one sentence.

    Args:
        path: of the file.
        root: the folder of its data set, which a symbolic link must not lead out of; ``None``: it may lie anywhere.

    Raises:
        InputError: the file lies outside of ``root``, is no image of :data:`FORMATS`, is damaged, or has more than
            :data:`LARGEST` pixels.
    """
    if root is not None:
        inside(root, path)
    regular(path)
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > LARGEST:
                raise Image.DecompressionBombError
            yield image
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise InputError(f"{path} has more than {LARGEST:,} pixels; reduce it.") from error
    except UnidentifiedImageError as error:
        raise InputError(
            f"{path} cannot be read as an image (it is none of {', '.join(FORMATS)}); copy it again or convert it."
        ) from error
    except Exception as error:  # Pillow raises a dozen kinds for damaged files
        raise InputError(f"{path} cannot be read as an image ({error}); copy or write it again.") from error


def read_image(path: Path, root: Path | None = None) -> Tensor:
    """An image of any pixel mode as RGB, uint8 ``(3, H, W)``.

    Grey is repeated, palettes and CMYK are converted, transparency is ignored, of 16 bits a channel the upper 8 are
    taken, and the image is turned upright as its EXIF orientation says.

    Args:
        path: of the file.
        root: the folder of its data set; see :func:`opened`.

    Raises:
        InputError: as of :func:`opened`, or the image has 32 bits a channel.
    """
    with opened(path, root) as image:
        return as_rgb(image, str(path))


def as_rgb(image: Image.Image, name: str) -> Tensor:
    """The same of an open image.

    Args:
        image: of any pixel mode.
        name: how a message calls it.

    Raises:
        InputError: it has 32 bits a channel, of which nothing says what is white.

    >>> as_rgb(Image.new("I;16", (4, 2), 0x80FF), "an image")[:, 0, 0].tolist()
    [128, 128, 128]
    """
    # Releases of Pillow before 11 call 16 bits of a PNG "I".
    if image.mode == "F" or (image.mode == "I" and image.format != "PNG"):
        kind = "floating-point" if image.mode == "F" else "32-bit"
        raise InputError(f"{name} has {kind} pixels; an image needs 8 or 16 bits a channel.")
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        # Pillow clips 16 bits at 255; the high byte is what it takes of 16-bit colour.
        pixels = (np.array(image) >> 8).clip(0, 255).astype(np.uint8)[..., None].repeat(3, axis=2)
    else:
        # Via RGBA, or Pillow warns of the transparency that RGB has no place for.
        opaque = image.convert("RGBA") if "transparency" in image.info else image
        pixels = np.array(opaque.convert("RGB"))
    found: Tensor = tv_tensors.Image(torch.from_numpy(pixels).permute(2, 0, 1).contiguous())
    return found


def read_ids(path: Path, root: Path | None = None) -> NDArray[np.uint8]:
    """A map of class ids, uint8 ``(H, W)``: grey values, or places in a palette; upright as the image is.

    Args:
        path: of the file.
        root: the folder of its data set; see :func:`opened`.

    Raises:
        InputError: as of :func:`opened`, the file is no PNG, or the pixels are not 8 bits of one channel.
    """
    with opened(path, root) as image:
        if image.format != "PNG":
            raise InputError(
                f"{path} holds {image.format} content; class ids need an 8-bit grey PNG, which keeps them as they are."
            )
        if image.mode not in ("L", "P"):
            raise InputError(f"{path} has the pixel mode {image.mode}; class ids need an 8-bit grey PNG.")
        stored = image.tile[0][3] if image.tile else image.mode
        if image.mode == "L" and stored != "L":  # Pillow spreads 2 and 4 bits over 0 to 255: 3 of 2 bits is 255
            raise InputError(f"{path} has {str(stored)[2:]} bits a pixel; class ids need an 8-bit grey PNG.")
        return np.array(ImageOps.exif_transpose(image))


def image_size(path: Path, root: Path | None = None) -> tuple[int, int]:
    """Width and height of an upright image, without decoding it where nothing in the file may say how it is turned.

    Raises:
        InputError: as of :func:`opened`.
    """
    with opened(path, root) as image:
        # Of a PNG Pillow decodes all pixels to look for what may stand behind them.
        if image.format == "PNG" and not any(mark in path.read_bytes() for mark in _TURNING):
            return image.size
        turned = image.getexif().get(_ORIENTATION, 1) >= 5  # by a quarter
        return (image.height, image.width) if turned else image.size


def looks_like_image(name: str) -> bool:
    """Whether a file's name ends as those of images do, read here or not; in any case."""
    return name.lower().endswith((*SUFFIXES, *_OTHERS))


def not_read(folder: Path, names: Sequence[str], suffixes: Sequence[str] = SUFFIXES) -> list[str]:
    """A sentence about the image files that a layout leaves out; none where there are none.

    Args:
        folder: where they lie.
        names: of the files.
        suffixes: what the names of those that are read end in.
    """
    if not names:
        return []
    return [
        f"{folder} holds {len(names)} image files that are not read ({some(names)}); what is read ends in "
        f"{', '.join(suffixes)} and lies in the layout's folders."
    ]


def readable(path: Path, whole: bool) -> bool:
    """Whether a file begins as an image, or can be decoded as one to its end."""
    try:
        with opened(path) as image:
            if whole:
                image.draft("L", (8, 8))  # a JPEG at an eighth of its size: several times faster, as strict
                image.load()
    except InputError:
        return False
    return True


_TURNING = (b"eXIf", b"Raw profile type exif", b"com.adobe.xmp")  # what Pillow finds an orientation of a PNG in
_ORIENTATION = 0x0112  # the number of the EXIF field
