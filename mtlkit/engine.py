"""Walks the graph of runs: what an evaluation needs is trained first, what the ledger has is skipped."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from lightning.fabric import Fabric

from mtlkit import evaluation
from mtlkit.data import AnyData
from mtlkit.data.samples import Split
from mtlkit.data.sampling import Batches, Part, eval_loader, loader
from mtlkit.errors import InputError
from mtlkit.ledger import Ledger, Record, hardware
from mtlkit.network import Network, parameter_count
from mtlkit.runs import Chosen, Constant, Cost, Ensemble, Evaluation, Speed, Standard, Training, trainings
from mtlkit.tasks import Task
from mtlkit.training import train
from mtlkit.trunks import Fused

Device = Literal["auto", "cpu", "cuda", "mps"]
DEVICES = get_args(Device)


@dataclass(frozen=True)
class Where:
    """Where and how visibly runs happen; none of it changes what a run is.

    Attributes:
        device: one of :data:`DEVICES`; ``auto`` takes CUDA, then MPS, then the CPU.
        workers: processes that read data beside the training; ``None``: four beside a GPU, none on the CPU, whose
            cores the training needs itself.
        progress: whether trainings show a bar.
        checkpoint_seconds: time between two checkpoints of a training.
        retrain: whether a training whose weights are gone may be run anew.
    """

    device: str = "auto"
    workers: int | None = None
    progress: bool = True
    checkpoint_seconds: float = 60.0
    retrain: bool = False

    def readers(self, device: torch.device) -> int:
        """Processes that read data for a run on ``device``."""
        return self.workers if self.workers is not None else 4 if device.type == "cuda" else 0

    def fabric(self, precision: str = "32-true") -> Fabric:
        """Lightning's Fabric on the device.

        Raises:
            InputError: when this machine has no such device.
        """
        available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
        if self.device not in DEVICES:
            raise InputError(f"There is no device {self.device!r}; valid are {', '.join(DEVICES)}.")
        if self.device != "auto" and not available[self.device]:
            raise InputError(f"This machine has no {self.device} device; device=auto takes the best there is.")
        accelerator = next(name for name, there in available.items() if there) if self.device == "auto" else self.device
        return Fabric(accelerator=accelerator, devices=1, precision=precision)  # type: ignore[arg-type]


def title(training: Training) -> str:
    """A training in a few words, for progress bars."""
    tasks = "+".join(task.name for task in training.network.tasks)
    sharing = training.network.sharing
    how = sharing.unit.kind if isinstance(sharing, Fused) else "shared" if "+" in tasks else "single"
    return f"{training.network.backbone} {how} {tasks} seed {training.seed}"


def reads(tasks: Sequence[Task]) -> tuple[str, ...]:
    """What data sets are asked for, for these tasks."""
    return tuple(dict.fromkeys(name for task in tasks for name in task.reads))


class Engine:
    """Runs evaluations and the trainings they need, each at most once for a ledger."""

    def __init__(self, ledger: Ledger, where: Where | None = None):
        self.ledger = ledger
        self.where = where or Where()

    def pending(self, evaluations: Iterable[Evaluation]) -> list[Training]:
        """The trainings that :meth:`run` would have to do, prerequisites first, each once."""
        open_ = [value for value in evaluations if not self.ledger.find("evaluation", value.identity)]
        return [t for key, t in trainings(open_).items() if not self.ledger.find("training", key)]

    def run(self, evaluations: Iterable[Evaluation]) -> dict[str, Record]:
        """Identity -> record of every evaluation, from the ledger or run now."""
        records = {}
        for value in evaluations:
            identity = value.identity
            record = self.ledger.find("evaluation", identity)
            if record is None:
                for need in value.needs:
                    self.train(need)
                with self.ledger.lock(identity):
                    record = self.ledger.find("evaluation", identity) or self._evaluate(value)
            records[identity] = record
        return records

    def train(self, training: Training) -> Record:
        """The training's record, from the ledger or after training it and whatever it starts from."""
        identity = training.identity
        if record := self.ledger.find("training", identity):
            return record
        for need in training.needs:
            self.train(need)
        with self.ledger.lock(identity):
            return self.ledger.find("training", identity) or self._train(training)

    def network(self, training: Training) -> Network:
        """The trained network, in evaluation mode on the CPU.

        Raises:
            WeightsMissing: when its weights are no longer kept and :attr:`Where.retrain` is off.
        """
        record = self.train(training)
        if self.where.retrain and not self.ledger.weights_path(training.identity).exists():
            with self.ledger.lock(training.identity):
                record = self._train(training)
        network = training.network.network(weights=False)
        network.load_state_dict(self.ledger.load_weights(training.identity, record.weights or ""))
        return network.eval()

    def _start(self, training: Training) -> Network:
        torch.manual_seed(training.seed)
        network = training.network.network(weights=not training.starts)
        for task, start in training.starts.items():
            # Another task's classifier answers another question.
            same = start.network.tasks == (network.tasks[task],)
            network.load_single_task(task, self.network(start).state_dict(), classifier=same)
        return network

    def _train(self, training: Training) -> Record:
        recipe, data = training.recipe, training.data
        fabric = self.where.fabric(recipe.precision)
        datasets = data.splits("train", reads(training.network.tasks))
        # Which pictures a fraction of a set holds: the same for every method, to be seen in the records.
        parts = [dataset.fingerprint() for dataset in datasets if isinstance(dataset, Part)]
        network = self._start(training)
        checkpoint = self.ledger.checkpoint(training.identity)
        history, timing = train(
            network,
            lambda first: loader(
                datasets,
                recipe.augmentation,
                batch_size=recipe.batch_size,
                steps=recipe.steps * recipe.accumulate,
                start_step=first,
                seed=training.seed,
                workers=self.where.readers(fabric.device),
                pin=fabric.device.type == "cuda",
            ),
            recipe,
            seed=training.seed,
            fabric=fabric,
            checkpoint=checkpoint,
            checkpoint_seconds=self.where.checkpoint_seconds,
            title=title(training) if self.where.progress else None,
        )
        record = self.ledger.write(
            Record(
                kind="training",
                identity=training.identity,
                settings=training.canonical(),
                history=history,
                timing=timing,
                data={
                    "train_images": sum(map(len, datasets)),
                    "images_seen": training.images_seen,
                    "parameters": parameter_count(network),
                }
                | ({"parts": parts} if parts else {}),
                weights=self.ledger.save_weights(training.identity, network.state_dict()),
                hardware=hardware(fabric.device),
            )
        )
        checkpoint.unlink(missing_ok=True)
        return record

    def _batches(
        self, split: Split, data: AnyData, tasks: Sequence[Task], batch_size: int, device: torch.device
    ) -> tuple[Batches, dict[str, int]]:
        """A split's samples once, as a network is to see them, and what there is to count."""
        sets = data.splits(split, reads(tasks))
        batches = eval_loader(sets, data.view, batch_size, self.where.readers(device))
        return batches, {"test_images": sum(map(len, sets)), "classes": sum(len(found.classes) for found in sets)}

    def _evaluate(self, value: Evaluation) -> Record:
        metrics: dict[str, float]
        counted: dict[str, int] = {}
        device = torch.device("cpu")
        match value:
            case Standard() | Ensemble():
                first = value.needs[0]
                fabric = self.where.fabric(first.recipe.precision)
                device = fabric.device
                batches, counted = self._batches(
                    "val", value.data, first.network.tasks, first.recipe.batch_size, device
                )
                metrics = evaluation.ensemble([self.network(need) for need in value.needs], batches, fabric)
            case Chosen():
                found = self.run(value.candidates)
                scores = [
                    sum(found[one.identity].metrics[name] or 0.0 for name in value.measures) for one in value.candidates
                ]
                best = scores.index(max(scores))
                record = self.run([value.subjects[best]])[value.subjects[best].identity]
                metrics = {name: score for name, score in record.metrics.items() if score is not None}
                counted = record.data | {"chosen": best}
            case Constant():
                train_batches, _ = self._batches("train", value.data, value.tasks, 8, device)
                batches, counted = self._batches("val", value.data, value.tasks, 8, device)
                metrics = evaluation.constant(value.tasks, train_batches, batches)
            case Cost():
                metrics = evaluation.cost(value.network, value.size)
            case Speed():
                fabric = self.where.fabric()
                device = fabric.device
                metrics = evaluation.speed(value.networks, value.reference, value.size, value.rounds, fabric)
        return self.ledger.write(
            Record(
                kind="evaluation",
                identity=value.identity,
                settings=value.canonical(),
                metrics=metrics,
                data=counted,
                hardware=hardware(device),
            )
        )
