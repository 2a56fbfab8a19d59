"""Trained networks: from an identity to predictions for any image."""

import json
import os
import re
import shlex
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from mtlkit import papers
from mtlkit.data import AnyData
from mtlkit.data.images import as_rgb, opened, read_image
from mtlkit.data.samples import collate
from mtlkit.errors import InputError, WeightsMissing
from mtlkit.files import at_home, regular, written_whole
from mtlkit.ledger import Ledger, Record, digest_of
from mtlkit.network import NetworkSettings
from mtlkit.papers.options import PROFILES
from mtlkit.results import Results
from mtlkit.runs import Training, outermost
from mtlkit.runtime import device_here
from mtlkit.tasks.detections import Found
from mtlkit.tasks.placement import Placement
from mtlkit.values import from_canonical, hash_of

Images = str | Path | Image.Image | Tensor | np.ndarray | Iterable[Any]
"""A path, a Pillow image, a tensor ``(3, H, W)`` or ``(N, 3, H, W)`` (uint8, or float in ``[0, 1]``), or several."""


class Trained:
    """A trained network that predicts for images of any size; :func:`load` makes it.

    Args:
        identity: of the training.
        settings: of the training, in canonical form; ``network`` and ``data`` count.
        tensors: the network's state.

    Attributes:
        identity, settings: as given.
        digest: of the weights, as records hold it.
        network: a :class:`mtlkit.network.Network` in evaluation mode.
        data: what it was trained on; its evaluation view brings images to the network's size.

    Raises:
        InputError: The settings are not those of a network of this version, or the weights are not its.

    >>> from mtlkit.data import Data
    >>> from mtlkit.heads import LargeFOV
    >>> from mtlkit.tasks import Normals, Segmentation
    >>> settings = NetworkSettings(
    ...     backbone="resnet10t", tasks=(Segmentation(classes=("floor", "wall")), Normals()), head=LargeFOV.Settings()
    ... )
    >>> data = Data(layout="folder", name="rooms", fingerprint="", size=(64, 96))
    >>> trained = Trained(
    ...     "untrained", {"network": settings.canonical(), "data": data.canonical()}, settings.build().state_dict()
    ... )
    >>> (predictions,) = trained.predict(torch.rand(3, 120, 200))
    >>> {task: tuple(prediction.shape) for task, prediction in predictions.items()}
    {'segmentation': (120, 200), 'normals': (3, 120, 200)}
    """

    def __init__(self, identity: str, settings: Mapping[str, Any], tensors: Mapping[str, Tensor]):
        self.identity, self.settings = identity, dict(settings)
        self.digest = digest_of(dict(tensors))
        self.data: AnyData = from_canonical(settings["data"], AnyData)
        self.network = from_canonical(settings["network"], NetworkSettings).build(weights=False).eval()
        try:
            self.network.load_state_dict(tensors)
        except RuntimeError as error:
            raise InputError(f"The weights of {identity} are those of a network of another shape.") from error

    def to(self, device: str) -> "Trained":
        """Moves the network to a device; see :data:`mtlkit.devices.Device`.

        Raises:
            InputError: This machine has no such device.
        """
        self.network.to(device_here(device))
        return self

    @torch.no_grad()
    def predict(self, images: Images, *, batch_size: int = 8) -> list[dict[str, Any]]:
        """What the network predicts for every image, in that image's own pixels, on the CPU.

        Images are brought to the size that the network was trained at, as for its evaluation; photographs are turned
        upright first, by their EXIF orientation.

        Args:
            images: one or several, see :data:`Images`.
            batch_size: images that the network sees at a time.

        Returns:
            For every image ``{task: prediction}``. What a prediction is says the task's ``prediction`` method: of
            segmentation the class of every pixel, ``(H, W)`` int64; of normals unit vectors ``(3, H, W)``; of depth
            metres ``(H, W)``; of detection :class:`mtlkit.tasks.detections.Found`, boxes in pixels of the image; of a
            classification :class:`mtlkit.tasks.classification.ClassPrediction`; of calories and age a float.

        Raises:
            InputError: An image cannot be read or has another shape, ``batch_size`` is below 1, or the network is about
                objects whose boxes nothing predicts.
        """
        if batch_size < 1:
            raise InputError(f"A batch holds 1 image or more, not {batch_size}.")
        sources, found = list(_each(images)), []
        for first in range(0, len(sources), batch_size):
            samples = [self.data.unlabelled(_pixels(source)) for source in sources[first : first + batch_size]]
            placed = [Placement.of(sample, self.data.view) for sample in samples]
            if self.network.settings.regions:
                found += [self._of_regions(canvas, placement) for canvas, placement in placed]
            else:
                outputs = self._outputs([canvas for canvas, _ in placed])
                found += [
                    {
                        name: task.prediction(outputs[name][row : row + 1], placement)
                        for name, task in self.network.tasks.items()
                    }
                    for row, (_, placement) in enumerate(placed)
                ]
        return found

    def save(self, path: str | Path) -> None:
        """Writes the weights as a safetensors file with all that :func:`load` needs.

        Raises:
            InputError: The name does not end in ``.safetensors``, or the file cannot be written.
        """
        path = Path(path)
        if path.suffix != ".safetensors":
            raise InputError(f"Weights are written to a file that ends in .safetensors, not to {path}.")
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.network.state_dict().items()}
        about = {"identity": self.identity, "sha256": self.digest, "settings": json.dumps(self.settings)}
        with written_whole(path) as part:
            part.write_bytes(save(tensors, about))

    def _outputs(self, canvases: Sequence[Tensor], regions: Tensor | None = None) -> dict[str, Tensor]:
        """Every task's outputs for canvases, or for regions ``(M, 4)`` of the only one."""
        device = next(self.network.parameters()).device
        images = collate([{"image": canvas} for canvas in canvases]).images.to(device)
        if regions is not None:
            regions = torch.cat([regions.new_zeros(len(regions), 1), regions], 1).to(device)
        return {name: output.float().cpu() for name, output in self.network.predict(images, regions).items()}

    def _of_regions(self, canvas: Tensor, placement: Placement) -> dict[str, Any]:
        """Proposed regions first; what is about objects sees those that were found in them."""
        tasks = self.network.tasks
        if all(task.of_boxes for task in tasks.values()):
            raise InputError(
                f"The network of {self.identity} describes objects whose boxes are known, and predicts none; take one "
                "that detects them too."
            )
        outputs = self._outputs([canvas], placement.regions)
        found = {name: task.prediction(outputs[name], placement) for name, task in tasks.items() if not task.of_boxes}
        if len(found) < len(tasks):
            objects = next(one for one in found.values() if isinstance(one, Found))
            placement = placement._replace(regions=placement.on_canvas(objects.boxes))
            outputs = self._outputs([canvas], placement.regions)
            found |= {name: task.prediction(outputs[name], placement) for name, task in tasks.items() if task.of_boxes}
        return {name: found[name] for name in tasks}


def load(identity_or_record: str | Path | Record, results_dir: str | Path | None = None) -> Trained:
    """A trained network whose weights are kept, in evaluation mode on the CPU.

    Args:
        identity_or_record: of a training: its identity (twelve hexadecimal digits, or as many as tell it apart), its
            record or the path of that, or a file that :meth:`Trained.save` wrote.
        results_dir: the folder of the reader's own runs, over which the published ones are read; by default as
            :meth:`mtlkit.results.Results.of` finds it.

    Raises:
        InputError: There is no such training, it is another kind of record, or another version's.
        WeightsMissing: Its weights are no longer kept, or damaged.
    """
    results = Results.of(None if results_dir is None else Path(results_dir))
    ledgers = [results.ledger(profile) for profile in PROFILES]
    if isinstance(identity_or_record, Record):
        record = identity_or_record
    elif (path := at_home(identity_or_record)).suffix == ".safetensors":
        return _exported(path)
    elif path.suffix == ".json":
        record = _record_of(path)
        ledgers = [Ledger(path.absolute().parents[1]), *ledgers]
    else:
        record = _found(str(identity_or_record), ledgers, results)
    _check(record, ledgers)
    for ledger in ledgers:
        if ledger.keeps("weights", record.identity):
            return Trained(record.identity, record.settings, ledger.load("weights", record.identity)[0])
    command = _command(record, ledgers)
    if command is not None and results_dir is not None:
        command += f" --results-dir {shlex.quote(str(results_dir))}"
    again = f"train it again with: {command}" if command else "run what trained it again with retrain=True"
    raise WeightsMissing(f"The weights of the training {record.identity} are not kept here; {again}")


def write_predictions(trained: Trained, images: Sequence[Path], folder: Path) -> None:
    """Draws what a network predicts: ``IMAGE.TASK.png`` for every image and task, and ``predictions.json``.

    The headers of all images are read before the network runs. Nothing in the folder is replaced but what the same
    network, with the same weights, predicted earlier; images that ``predictions.json`` lists stay listed. Whatever ends
    the work, what was done is listed. An image that is damaged behind its header is named when the others are done.

    Raises:
        InputError: An image cannot be read, two have one name, the folder cannot be written, or something else has the
            name of a file that is to be written.
    """
    _check_images(images)
    listed = _check_folder(trained, images, folder)
    tasks, faults, written = trained.network.tasks, [], time.monotonic()
    about = PngInfo()
    about.add_text("Software", _software(trained))
    try:
        for image in images:
            try:
                pixels = _pixels(image)
            except InputError as error:
                faults.append(str(error))
                continue
            (predictions,) = trained.predict(pixels)
            drawings = {name: f"{image.stem}.{name}.png" for name in predictions}
            for name, prediction in predictions.items():
                drawing = tasks[name].draw_on(pixels.permute(1, 2, 0).numpy(), prediction)
                with written_whole(folder / drawings[name]) as part:
                    Image.fromarray(drawing).save(part, "PNG", pnginfo=about)
            words = {name: tasks[name].to_json(prediction) for name, prediction in predictions.items()}
            size = list(pixels.shape[-2:])
            listed[str(image)] = {"image": str(image), "size": size, "predictions": words, "drawings": drawings}
            if time.monotonic() - written > LIST_SECONDS:
                _write_list(trained, listed, folder)
                written = time.monotonic()
    finally:
        if listed:
            _write_list(trained, listed, folder)
    if faults:
        others = "; the others are done" if len(faults) < len(images) else ""
        raise InputError(f"{len(faults)} of {len(images)} images could not be read{others}: {faults[0]}")


LIST = "predictions.json"

LIST_SECONDS = 60.0
"""After how long the list is written while images are left, since a killed process writes none."""


def _check_images(images: Sequence[Path]) -> None:
    """Checks that each begins as an image, and has a name of its own."""
    stems, faults = Counter(image.stem for image in images), []
    for image in images:
        if stems[image.stem] > 1:
            raise InputError(f"Several images are called {image.stem}, as their drawings would be; predict them apart.")
        try:
            with opened(_present(image)):
                pass
        except InputError as error:
            faults.append(str(error))
    if faults:
        many = f"{len(faults)} of {len(images)} images cannot be read: " if len(faults) > 1 else ""
        raise InputError(f"{many}{faults[0]}")


def _check_folder(trained: Trained, images: Sequence[Path], folder: Path) -> dict[str, dict[str, Any]]:
    """Checks that nothing in a folder would be lost, and returns what it lists: image -> entry."""
    listed = _read_list(trained, folder / LIST)
    wanted = {f"{image.stem}.{task}.png": str(image) for image in images for task in trained.network.tasks}
    for name in wanted:
        if os.path.lexists(path := folder / name) and not _drew(trained, path):
            raise _taken(trained, path)
    for other, entry in listed.items():
        for name in entry["drawings"].values():
            if wanted.get(name, other) != other:
                raise InputError(f"{folder / name} is a drawing of another image, {other}; name another folder.")
    return listed


def _read_list(trained: Trained, path: Path) -> dict[str, dict[str, Any]]:
    """Image -> entry of a list that the network wrote; none where there is no list."""
    if not os.path.lexists(path):
        return {}
    regular(path)
    try:
        about = json.loads(path.read_bytes())
        if (about["identity"], about["weights"]) == (trained.identity, trained.digest):
            return {entry["image"]: entry for entry in about["images"] if dict(entry["drawings"])}
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise _taken(trained, path)


def _write_list(trained: Trained, listed: Mapping[str, dict[str, Any]], folder: Path) -> None:
    about = {"identity": trained.identity, "weights": trained.digest, "images": list(listed.values())}
    with written_whole(folder / LIST) as part:
        part.write_text(json.dumps(about, indent=1) + "\n")  # names of files need not be UTF-8


def _software(trained: Trained) -> str:
    """What a drawing says of who drew it: a killed process leaves drawings that no list names."""
    return f"mtlkit predict {trained.identity}, weights {trained.digest}"


def _drew(trained: Trained, path: Path) -> bool:
    """Whether a file is a drawing of what the network predicted."""
    try:
        with opened(path) as image:
            return bool(image.info.get("Software") == _software(trained))
    except InputError:
        return False


def _taken(trained: Trained, path: Path) -> InputError:
    return InputError(
        f"{path} is there, and is not what {trained.identity} predicted with these weights; name another folder."
    )


def _present(image: str | Path) -> Path:
    """The path of an image that is there."""
    if not Path(image).is_file():
        raise InputError(f"There is no image {image}.")
    return Path(image)


def _each(images: Images) -> Iterator[str | Path | Image.Image | Tensor]:
    """Single images."""
    if isinstance(images, np.ndarray):
        if images.dtype != np.uint8 or images.ndim != 3 or images.shape[-1] != 3:
            shape = f"{images.shape} of {images.dtype}"
            raise InputError(f"An image as an array should be RGB, (height, width, 3) of uint8, not {shape}.")
        yield torch.from_numpy(images.copy()).permute(2, 0, 1)
    elif isinstance(images, Tensor) and images.ndim == 4:
        yield from images
    elif isinstance(images, str | Path | Image.Image | Tensor):
        yield images
    elif isinstance(images, Iterable):
        for image in images:
            yield from _each(image)
    else:
        raise InputError(f"{images!r} is no image; give paths, PIL images, tensors or arrays, one or a list of them.")


def _pixels(image: str | Path | Image.Image | Tensor) -> Tensor:
    """An image as RGB, uint8 ``(3, H, W)``."""
    if isinstance(image, str | Path):
        return read_image(_present(image)).as_subclass(Tensor)
    if isinstance(image, Image.Image):
        return as_rgb(image, "The image").as_subclass(Tensor)
    image = image.detach().as_subclass(Tensor).cpu()
    if image.ndim != 3 or len(image) != 3 or not image.numel():
        raise InputError(f"An image of shape {tuple(image.shape)} cannot be used; it should be (3, height, width).")
    if image.dtype == torch.uint8:
        return image
    if not image.is_floating_point() or not 0 <= float(image.min()) <= float(image.max()) <= 1:
        raise InputError(f"An image of {image.dtype} should hold numbers from 0 to 1; those from 0 to 255 are uint8.")
    return (image.float() * 255).round().to(torch.uint8)


def _exported(path: Path) -> Trained:
    """What :meth:`Trained.save` wrote."""
    if not path.is_file():  # a named pipe would be waited for
        raise InputError(f"There is no weights file {path}.")
    try:
        tensors = load_file(path)
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
    except OSError as error:
        raise InputError(f"The weights file {path} cannot be read ({error.strerror}).") from error
    except SafetensorError as error:
        raise InputError(f"{path} is damaged or no safetensors file; export the weights again.") from error
    if not {"identity", "settings", "sha256"} <= about.keys():
        raise InputError(f"{path} does not say which network its weights are of; write it with mtlkit export-weights.")
    if digest_of(tensors) != about["sha256"]:
        raise InputError(f"The weights in {path} are not those that were written; export them again.")
    try:
        settings = json.loads(about["settings"])
        fits = hash_of(settings) == about["identity"]
    except ValueError:
        fits = False
    if not fits:
        raise InputError(f"The settings in {path} are not those that were written; export the weights again.")
    return Trained(about["identity"], settings, tensors)


def _record_of(path: Path) -> Record:
    if not path.is_file():
        raise InputError(f"There is no record {path}.")
    try:
        record = Record.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"The record {path} cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise InputError(f"{path} is not a record of this version of mtlkit.") from error
    if fault := record.misfit(record.kind, record.identity):
        raise InputError(f"{path} {fault}; copy it again.")
    return record


def _found(identity: str, ledgers: Sequence[Ledger], results: Results) -> Record:
    """The training whose identity begins so, or else what else has it."""
    known = {}
    if re.fullmatch(r"[0-9a-f]{1,12}", identity):
        known = {record.identity: record for ledger in ledgers for record in ledger.matching(identity)}
    training = {key: record for key, record in known.items() if record.kind == Training.kind}
    chosen = list((training or known).values())
    if not chosen:
        where = " and ".join(str(folder) for folder in (results.own, results.published) if folder is not None)
        raise InputError(
            f"There is no training {identity!r} in {where}; an identity is the name of a file in PROFILE/training."
        )
    if len(chosen) > 1:
        raise InputError(f"{identity} begins {', '.join(sorted(training or known))}; give more digits.")
    return chosen[0]


def _check(record: Record, ledgers: Sequence[Ledger]) -> None:
    """Refuses what is no training or came to nothing."""
    if record.kind != Training.kind:
        named = dict.fromkeys([*record.loaded, *re.findall(r"\b[0-9a-f]{12}\b", json.dumps(record.settings))])
        looked = [key for key in named if any(ledger.find(Training.kind, key) for ledger in ledgers)]
        what = f"; it looks at {' and '.join(looked)}" if looked else ""
        raise InputError(f"{record.identity} is no training but a record of kind {record.kind}{what}; name a training.")
    if record.diverged is not None:
        raise InputError(f"The training {record.identity} has no weights: {record.diverged}.")


def _command(record: Record, ledgers: Sequence[Ledger]) -> str | None:
    """What to type to train it again: a row of a stored column that looks at it, if there is one."""
    for ledger in ledgers:
        for stored in ledger.all("table"):
            try:
                table = papers.table(stored.settings["paper"], stored.settings["table"])
                column = table.columns.model_validate(stored.settings)
            except (InputError, ValidationError, KeyError):  # of another version, or of another project's paper
                continue
            seed = record.settings.get("seed", 0)
            for row in table.rows(column, seed) if seed in column.seeds else ():
                if any(training.identity == record.identity for training in outermost(row.evaluations)):
                    options = column.options()
                    if options.takes(table.id, "seeds"):
                        options = options.model_copy(update={"seeds": (seed,)})
                    # What has a record is run only to be scored again.
                    start = f"mtlkit run {table.paper} {table.id}"
                    typed = options.command(table.id).removeprefix(start)
                    return f"{start} {row.id}{typed} --rescore --retrain"
    return None
