"""Start weights of backbones: files of tensors, and whether published ones can be had."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors
from torch import Tensor, nn

from mtlkit.backbones.base import Family, StagedBackbone, aside, spelled
from mtlkit.errors import InputError


def load(backbone: StagedBackbone, family: Family, path: Path, left_out: Collection[nn.Module] = ()) -> None:
    """Copy the tensors of ``path`` into ``backbone``.

    Every tensor of the stages must be there, but for those of the stages ``left_out``, of which none may. Others may
    be, if the whole network (as a classifier) has them: more than that means a file of another network.

    Raises:
        InputError: There is no such file, it cannot be read, or its tensors do not fit.
    """
    name = backbone.name
    with opened(path, name) as file:
        given = family.converted({key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118, it is no mapping

    with aside():
        whole = family.classifier(name)
    spelling = {spelled(key): key for key in whole.state_dict()}
    found = {spelled(key): (key, tensor) for key, tensor in given.items()}
    stages = [stage for stage in backbone.stages if stage not in left_out]
    own = {spelled(key): tensor for stage in stages for key, tensor in stage.state_dict().items()}
    others = {spelled(key) for stage in left_out for key in stage.state_dict()}
    counter = "num_batches_tracked"  # files written before PyTorch 0.4.1 lack it
    faults = {
        "missing": [spelling.get(key, key) for key in own if key not in found and not key.endswith(counter)],
        "of the wrong shape": [
            f"{found[key][0]} is {tuple(found[key][1].shape)} and not {tuple(tensor.shape)}"
            for key, tensor in own.items()
            if key in found and found[key][1].shape != tensor.shape
        ],
        "of the wrong type": [
            f"{found[key][0]} holds {found[key][1].dtype}"
            for key, tensor in own.items()
            if key in found and tensor.is_floating_point() and not found[key][1].is_floating_point()
        ],
        "unexpected": [found[key][0] for key in found.keys() - own.keys() - spelling.keys()],
        "of layers that it is said to lack": [found[key][0] for key in found.keys() & others],
    }
    if any(faults.values()):
        listed = "; ".join(
            f"{len(tensors)} tensor(s) {fault} ({', '.join(sorted(tensors)[:3])}{', ...' if len(tensors) > 3 else ''})"
            for fault, tensors in faults.items()
            if tensors
        )
        raise InputError(f"The weights file {path} does not fit {name}: {listed}.")
    for key in own.keys() & found.keys():
        own[key].copy_(found[key][1])


@contextmanager
def opened(path: Path, name: str) -> Iterator[Any]:
    """The file of weights of ``name``, to ask for names and tensors.

    Raises:
        InputError: It is of another kind, there is none, or it cannot be read.
    """
    if path.suffix != ".safetensors":
        raise InputError(f"The weights of {name} are 'none', 'timm' or a .safetensors file, not {str(path)!r}.")
    if not path.is_file():
        raise InputError(f"The weights file {path} for {name} does not exist.")
    try:
        with safetensors.safe_open(path, framework="pt", device="cpu") as file:
            yield file
    except safetensors.SafetensorError as error:
        raise InputError(f"The weights file {path} for {name} cannot be read ({reason(error)}).") from error


def reshaped(tensors: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """The tensors, some of them in other shapes: linear layers over maps as the convolutions that they are."""
    return {key: tensor.reshape(shapes.get(key, tensor.shape)) for key, tensor in tensors.items()}


def reach(where: str, name: str) -> None:
    """Asks the host of published weights for a sign of life: its client would try for most of a minute.

    Raises:
        InputError: It gives none within five seconds, or must not be asked.
    """
    import huggingface_hub

    try:
        if huggingface_hub.constants.is_offline_mode():
            raise ConnectionError("HF_HUB_OFFLINE is set")
        huggingface_hub.get_session().head(where, timeout=5)
    except Exception as error:  # the session's own kinds differ between releases of huggingface_hub
        raise InputError(
            f"No weights for {name}: {where} cannot be reached ({reason(error)}); "
            "give a .safetensors file, or set HF_HUB_OFFLINE=1 to use only what is cached."
        ) from error


def reason(error: BaseException) -> str:
    """The first sentence of somebody else's message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].split(". ")[0].rstrip(".")
