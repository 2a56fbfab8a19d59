"""What runs will cost on this machine: from records of the same networks, else from a few steps of each."""

import hashlib
import itertools
import json
import math
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cached_property
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, TypeAdapter

from mtlkit.data.samples import Split
from mtlkit.engine import Engine
from mtlkit.errors import InputError
from mtlkit.files import sweep, written_whole
from mtlkit.graph import Node, reads
from mtlkit.ledger import Ledger, Record
from mtlkit.network import Weights
from mtlkit.processes import clean
from mtlkit.runs import Training, outermost
from mtlkit.runtime import Runtime, hardware, machine, wait
from mtlkit.worlds import cache_folder

SLOW = 0.8
"""Share of the speed of float32 below which a precision is not meant for this machine."""

STEPS = 4
"""Steps of a network that are timed; the first, which also sets up, is not counted."""


class Rate(BaseModel):
    """How fast a network is trained and scored on a machine.

    Attributes:
        step: seconds of an optimiser step; of records their median.
        image: seconds of a prediction for an image; ``None``: not measured.
        memory: bytes that the process took at its peak, of the device where there is one; ``None``: not measured.
    """

    step: float
    image: float | None = None
    memory: int | None = None


def shape(settings: Mapping[str, Any]) -> str:
    """What decides how long a step of a training takes, of its canonical form: all but rates, lengths and weights."""
    network = {name: value for name, value in settings["network"].items() if name not in ("weights", "weights_tag")}
    recipe = settings["recipe"]
    names = ("batch_size", "accumulate", "optimizer", "augmentation", "precision", "channels_last", "objective")
    data = settings["data"]
    layouts = [one["layout"] for one in data.get("sets", {"": data}).values()]
    text = json.dumps([network, {name: recipe.get(name) for name in names}, layouts], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


class Estimates:
    """Seconds and memory of nodes on this machine.

    Attributes:
        machine: as records name it.
        runtime: the device.
        measure: whether networks of which nothing is known are timed for a few steps; else they have no estimate.
    """

    def __init__(self, ledgers: Iterable[Ledger], runtime: Runtime, *, measure: bool):
        self.runtime, self.measure = runtime, measure
        self.machine = machine(hardware(runtime.fabric().device))
        name = hashlib.sha256(self.machine.encode()).hexdigest()[:12]
        self._path = cache_folder() / "rates" / f"{name}.json"
        self._known: dict[str, Rate] = {}
        sweep(self._path.parent)
        # Without the file, or with a damaged one, networks are timed again.
        with suppress(OSError, ValueError):
            self._known = _RATES.validate_json(self._path.read_bytes())
        self._not_timed: set[str] = set()
        steps: dict[str, list[float]] = {}
        self._seconds: dict[str, list[tuple[float, int]]] = {}  # of a run, and its test images, by kind
        for record in (
            record for ledger in ledgers for kind in ("training", "evaluation") for record in ledger.all(kind)
        ):
            if not record.hardware or machine(record.hardware) != self.machine:
                continue
            if (step := _step(record)) is not None:
                steps.setdefault(shape(record.settings), []).append(step)
            elif record.seconds is not None:
                tested = max(int(record.data.get("test_images", 1)), 1)
                self._seconds.setdefault(record.settings["is"], []).append((record.seconds, tested))
        for key, found in steps.items():
            known = self._known.get(key, Rate(step=0))
            self._known[key] = known.model_copy(update={"step": statistics.median(found)})

    def rate(self, training: Training) -> Rate | None:
        """Of a training; measured now where it is unknown and may be, and this machine can."""
        key = shape(training.canonical())
        if key not in self._known and key not in self._not_timed and self.measure:
            try:
                self._known[key] = measured(training, self.runtime)
            except InputError:
                self._not_timed.add(key)
                return None
            with suppress(OSError), written_whole(self._path) as part:
                part.write_bytes(_RATES.dump_json(self._known))
        return self._known.get(key)

    def seconds(self, node: Node) -> float | None:
        """Of a node, without what it needs; ``None`` where nothing is known."""
        if isinstance(node, Training):
            rate = self.rate(node)
            return None if rate is None else rate.step * node.recipe.steps
        subjects = outermost([node])
        known = self._seconds.get(node.tag, [])
        if known and not subjects:
            return statistics.median(seconds for seconds, _ in known)
        tested = max((images(subject, "val") for subject in subjects), default=1)
        if known:
            return statistics.median(seconds / count for seconds, count in known) * tested
        rates = [self.rate(subject) for subject in subjects]
        if not rates or any(rate is None or rate.image is None for rate in rates):
            return None
        return tested * sum(rate.image or 0.0 for rate in rates if rate is not None)

    @cached_property
    def precisions(self) -> dict[str, float]:
        """Precision -> how many times as fast as ``32-true`` it is here; see :func:`precisions`."""
        return precisions(self.runtime.fabric().device)

    def slow(self, node: Node) -> str:
        """Why a node should be left to another machine: its precision is slow here, or there is none; else empty."""
        precision = node.recipe.precision if isinstance(node, Training) else "32-true"
        if precision == "32-true":
            return ""
        try:
            self.runtime.fabric(precision)
        except InputError as error:
            return str(error)
        if self.precisions.get(precision, 1.0) >= SLOW:
            return ""
        return f"{precision} is {self.precisions[precision]:.1f} times as fast as 32-true on this machine"

    def memory(self, node: Node) -> int | None:
        """Bytes of a training at its peak."""
        rate = self.rate(node) if isinstance(node, Training) else None
        return None if rate is None else rate.memory


_RATES = TypeAdapter(dict[str, Rate])
_IMAGES: dict[tuple[str, Split], int] = {}


def images(training: Training, split: Split) -> int:
    """Of the split of a training's data."""
    key = training.data.identity, split
    if key not in _IMAGES:
        _IMAGES[key] = sum(map(len, training.data.splits(split, reads(training.network.tasks))))
    return _IMAGES[key]


def _step(record: Record) -> float | None:
    """Seconds of a step of a training's record."""
    if record.kind != "training" or record.timing is None or record.history is None or not record.history.steps:
        return None
    return record.timing.training / record.history.steps[-1]


# --- a few steps, in a process of their own, whose peak memory is theirs alone ---


def measured(training: Training, runtime: Runtime) -> Rate:
    """A few steps of a training and a batch of its test images.

    Raises:
        InputError: they cannot be made.
    """
    context = clean()
    here, there = context.Pipe(duplex=False)
    # No daemon, since those may not start processes that read data.
    process = context.Process(target=_measure, args=(training, runtime, torch.get_num_threads(), there))
    process.start()
    there.close()
    try:
        found = here.recv()
    except EOFError:
        process.join()
        raise InputError(f"{training.title}: the process that timed it ended with {process.exitcode}.") from None
    except BaseException:
        process.terminate()
        raise
    process.join()
    if isinstance(found, str):
        raise InputError(f"{training.title}: {found}")
    assert isinstance(found, Rate)
    return found


def _measure(training: Training, runtime: Runtime, threads: int, answer: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who asked ends this process
    torch.set_num_threads(threads)
    try:
        answer.send(_timed(training, runtime))
    except Exception as error:  # told to who asked
        answer.send(f"{type(error).__name__}: {error}")


def _timed(training: Training, runtime: Runtime) -> Rate:
    times: list[float] = []
    short = training.model_copy(
        update={
            "network": training.network.model_copy(update={"weights": Weights()}),
            "recipe": training.recipe.model_copy(update={"steps": STEPS}),
            "starts": {},
            "balance": None,
        }
    )
    device = runtime.fabric().device
    # The process's own time, where it does all work in turn: what others take of a busy machine is no part of a step.
    alone = device.type == "cpu" and torch.get_num_threads() == 1 and runtime.readers(device) == 0
    clock = time.process_time if alone else time.perf_counter

    def watch(title: str, done: int, total: int) -> None:
        wait(device)
        times.append(clock())

    told = Runtime(device=runtime.device, workers=runtime.workers, progress=False, watch=watch)
    with tempfile.TemporaryDirectory() as folder:
        engine = Engine(Ledger(Path(folder)), told)
        context = engine.context()
        engine.run([short])
        network = short.trained(context).to(device)
        batches, _ = context.batches(short.data, "val", short.network.tasks, device=device)
        image = math.inf
        for batch in itertools.islice(batches, 2):  # the first one also sets up
            began = clock()
            with torch.inference_mode():
                outputs = network.predict(batch.to(device).images, batch.to(device).regions)
            for output in outputs.values():
                output.cpu()
            image = min(image, (clock() - began) / len(batch.images))
    return Rate(step=(times[-1] - times[1]) / (STEPS - 1), image=image, memory=_peak(device))


def _peak(device: torch.device) -> int | None:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


# --- precisions ---


def precisions(device: torch.device) -> dict[str, float]:
    """Precision -> how many times as fast as ``32-true`` a convolution of usual size trains at it on the device."""
    layer = torch.nn.Conv2d(128, 128, 3, padding=1).to(device)
    image = torch.randn(4, 128, 28, 28, device=device, requires_grad=True)
    kinds: dict[str, torch.dtype | None] = {"32-true": None, "bf16-mixed": torch.bfloat16}
    if device.type == "cuda":
        kinds["16-mixed"] = torch.float16
    found: dict[str, list[float]] = {}
    for _ in range(5):  # in turns, so that a machine that changes its pace changes it for all
        for name, kind in kinds.items():
            began = time.perf_counter()
            for _ in range(3):
                with torch.autocast(device.type, kind or torch.bfloat16, enabled=kind is not None):
                    loss = layer(image).float().square().mean()
                loss.backward()
            wait(device)
            found.setdefault(name, []).append(time.perf_counter() - began)
    medians = {name: statistics.median(times[1:]) for name, times in found.items()}
    return {name: medians["32-true"] / seconds for name, seconds in medians.items()}
