"""What a reader writes for start weights, as a value."""

import hashlib

from mtlkit.backbones import ends_with_convolutions
from mtlkit.errors import InputError
from mtlkit.files import at_home
from mtlkit.network import Weights


def weights(given: str, *, fc_of: str | None = None) -> Weights:
    """``none``, ``timm``, or a safetensors file, which is known by its SHA-256 from then on.

    Args:
        given: what the reader wrote.
        fc_of: the backbone, where it is built with fc6 and fc7; they start at random where a file lacks them.

    Raises:
        InputError: when the file does not exist or cannot be read.
    """
    if given == "none":
        return Weights()
    if given == "timm":
        return Weights(source="timm")
    path = at_home(given)
    if not path.is_file():
        raise InputError(f"There is no weights file {given}; weights is none, timm or the path of a safetensors file.")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"The weights file {given} cannot be read ({error.strerror}).") from error
    lacking = fc_of is not None and ends_with_convolutions(fc_of, path)
    return Weights(source="file", sha256=hashlib.sha256(content).hexdigest(), convolutions_only=lacking, path=path)
