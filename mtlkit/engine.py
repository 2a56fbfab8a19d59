"""Walks the graph of runs: what an evaluation needs is trained first, what the ledger has is skipped."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Tensor

from mtlkit import evaluation
from mtlkit.data import AnyData
from mtlkit.data.samples import DataSet, Split
from mtlkit.data.sampling import Batches, Part, eval_loader, groups_of, loader
from mtlkit.errors import InputError, WeightsMissing
from mtlkit.evaluation import Groups, Scores
from mtlkit.ledger import Ledger, Record, hardware
from mtlkit.loss_weights import inverse_means
from mtlkit.network import Network, parameter_count
from mtlkit.runs import (
    Averaged,
    CategoryMean,
    Chosen,
    Constant,
    Cost,
    Ensemble,
    Evaluation,
    Features,
    Retrieval,
    Speed,
    Standard,
    Tilted,
    Training,
    trainings,
)
from mtlkit.tasks import Task
from mtlkit.training import train
from mtlkit.trunks import Fused

if TYPE_CHECKING:
    from lightning.fabric import Fabric

CALORIES_AND_CATEGORY = ("calories", "category")
"""What a category's mean is made of."""

RETRIEVED = ("calories", "retrieval")
"""What is measured of neighbours."""

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
        rescore: whether evaluations that have a record are scored again, as after a change of what records hold.
    """

    device: str = "auto"
    workers: int | None = None
    progress: bool = True
    checkpoint_seconds: float = 60.0
    retrain: bool = False
    rescore: bool = False

    def readers(self, device: torch.device) -> int:
        """Processes that read data for a run on ``device``."""
        return self.workers if self.workers is not None else 4 if device.type == "cuda" else 0

    def fabric(self, precision: str = "32-true") -> "Fabric":
        """Lightning's Fabric on the device.

        Raises:
            InputError: when this machine has no such device.
        """
        from lightning.fabric import Fabric  # with torchmetrics two seconds, which only what is computed needs

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


def _groups(tasks: Sequence[Task], tested: Sequence[DataSet]) -> dict[str, Groups]:
    return Groups.by_task([task.name for task in tasks], tested)


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
            record = None if self.where.rescore else self.ledger.find("evaluation", identity)
            if record is None:
                for need in value.needs:
                    self.train(need)
                with self.ledger.lock(identity):
                    again = None if self.where.rescore else self.ledger.find("evaluation", identity)
                    record = again or self._evaluate(value)
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

    def predictions(self, training: Training) -> list[dict[str, Tensor]]:
        """What the network said at each of its snapshots, the last of which is the last: task -> outputs.

        Raises:
            WeightsMissing: when they are no longer kept and :attr:`Where.retrain` is off.
        """
        assert training.snapshots is not None
        record = self.train(training)
        names = [f"{training.identity}-{step}" for step in training.snapshots.steps(training.recipe.steps)]
        found = [self.ledger.kept("predictions", name) for name in names]
        if self.where.retrain and None in found:
            with self.ledger.lock(training.identity):
                record = self._train(training)
            found = [self.ledger.kept("predictions", name) for name in names]
        there = [predictions for predictions in found if predictions is not None]
        if len(there) < len(names):
            raise WeightsMissing(
                f"The predictions of training {record.identity} are no longer kept; run again with --retrain to train "
                "it anew."
            )
        return there

    def features(self, features: Features) -> dict[str, dict[str, Tensor]]:
        """Split -> features and targets of its pictures, computed once for a ledger."""
        identity, subject = features.identity, features.subject
        found: dict[str, dict[str, Tensor]] = {}
        splits: tuple[Split, Split] = ("train", "val")
        with self.ledger.lock(identity):
            for split in splits:
                name = f"{identity}-{split}"
                kept = self.ledger.kept("features", name)
                if kept is None:
                    torch.manual_seed(0)  # what an untrained network has no weights for is drawn
                    network = self.network(subject) if isinstance(subject, Training) else subject.network()
                    fabric = self.where.fabric()
                    sets = features.data.splits(split, features.reads)
                    batches = eval_loader(sets, features.data.view, 32, self.where.readers(fabric.device))
                    kept = evaluation.features(network, batches, fabric)
                    self.ledger.keep("features", name, kept)
                found[split] = kept
        return found

    def _loss_weights(self, training: Training) -> dict[str, float]:
        """The recipe's, or those that an earlier training's losses give."""
        if (balance := training.balance) is None:
            return training.recipe.loss_weights
        history = self.train(balance.run).history
        return inverse_means(history.losses if history else {}, balance.one, balance.last)

    def _start(self, training: Training) -> Network:
        torch.manual_seed(training.seed)
        network = training.network.network(weights=not training.starts)
        for task, start in training.starts.items():
            # Another task's classifier answers another question.
            same = start.network.tasks == (network.tasks[task],)
            network.load_single_task(task, self.network(start).state_dict(), classifier=same)
        return network

    def _train(self, training: Training) -> Record:
        recipe, data = training.recipe.model_copy(update={"loss_weights": self._loss_weights(training)}), training.data
        fabric = self.where.fabric(recipe.precision)
        datasets = data.splits("train", reads(training.network.tasks))
        # Which pictures a fraction of a set holds: the same for every method, to be seen in the records.
        parts = [dataset.fingerprint() for dataset in datasets if isinstance(dataset, Part)]
        network = self._start(training)
        checkpoint = self.ledger.checkpoint(training.identity)

        def snapshot(step: int) -> None:
            assert training.snapshots is not None
            batches, _ = self._batches(
                "val", training.snapshots.data, training.network.tasks, recipe.batch_size, fabric.device
            )
            said = evaluation.outputs(network, batches, fabric)
            self.ledger.keep("predictions", f"{training.identity}-{step}", said)

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
                together=recipe.together,
            ),
            recipe,
            seed=training.seed,
            fabric=fabric,
            checkpoint=checkpoint,
            checkpoint_seconds=self.where.checkpoint_seconds,
            snapshots=training.snapshots.steps(recipe.steps) if training.snapshots else (),
            snapshot=snapshot,
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
                | ({"parts": parts} if parts else {})
                | ({"loss_weights": recipe.loss_weights} if training.balance else {}),
                weights=self.ledger.save_weights(training.identity, network.state_dict()),
                hardware=hardware(fabric.device),
            )
        )
        checkpoint.unlink(missing_ok=True)
        return record

    def _batches(
        self, split: Split, data: AnyData, tasks: Sequence[Task], batch_size: int, device: torch.device
    ) -> tuple[Batches, list[DataSet]]:
        """A split's samples once, as a network is to see them, and where they come from."""
        sets = data.splits(split, reads(tasks))
        return eval_loader(sets, data.view, batch_size, self.where.readers(device)), sets

    def _evaluate(self, value: Evaluation) -> Record:
        scores: Scores
        tested: list[DataSet] = []
        counted: dict[str, int] = {}
        device = torch.device("cpu")
        match value:
            case Standard() | Ensemble():
                first = value.needs[0]
                fabric = self.where.fabric(first.recipe.precision)
                device = fabric.device
                batches, tested = self._batches("val", value.data, first.network.tasks, first.recipe.batch_size, device)
                networks = [self.network(need) for need in value.needs]
                scores = evaluation.ensemble(networks, batches, fabric, _groups(first.network.tasks, tested))
            case Averaged():
                training = value.subject
                said = self.predictions(training)
                assert training.snapshots is not None
                tasks = training.network.tasks
                batches, tested = self._batches("val", training.snapshots.data, tasks, 8, device)
                by_name = {task.name: task for task in tasks}
                groups = _groups(tasks, tested)
                scores = evaluation.averaged(by_name, said, batches, of=value.of, groups=groups)
            case Retrieval():
                fabric = self.where.fabric()
                device = fabric.device
                found = self.features(value.features)
                tested = value.features.data.splits("val", value.features.reads)
                counted = {"database_images": len(found["train"]["features"])}
                scores = evaluation.retrieval(
                    found["train"], found["val"], value.k, value.floor, device, Groups.by_task(RETRIEVED, tested)
                )
            case CategoryMean():
                fabric = self.where.fabric()
                device = fabric.device
                sets = {split: value.data.splits(split, CALORIES_AND_CATEGORY) for split in ("train", "val")}
                train_batches, test_batches = (eval_loader(some, value.data.view, 32) for some in sets.values())
                tested, named = sets["val"], None
                if value.subject is not None:
                    network = self.network(value.subject).to(device)
                    named = evaluation.outputs(network, test_batches, fabric)["category"].argmax(1)
                classes = len(tested[0].classes)
                groups = Groups.by_task(CALORIES_AND_CATEGORY, tested)
                scores = evaluation.category_mean(train_batches, test_batches, named, classes, value.floor, groups)
            case Chosen():
                records = self.run(value.candidates)
                means = [
                    sum(records[one.identity].metrics[name] or 0.0 for name in value.measures)
                    for one in value.candidates
                ]
                best = means.index(max(means))
                record = self.run([value.subjects[best]])[value.subjects[best].identity]
                scores = Scores(
                    {name: score for name, score in record.metrics.items() if score is not None},
                    resampled=record.resampled,
                    drawn=record.drawn,
                )
                counted = record.data | {"chosen": best}
            case Constant():
                train_batches, _ = self._batches("train", value.data, value.tasks, 8, device)
                batches, tested = self._batches("val", value.data, value.tasks, 8, device)
                scores = evaluation.constant(value.tasks, train_batches, batches, _groups(value.tasks, tested))
            case Tilted():
                batches, tested = self._batches("val", value.data, [value.task], 8, device)
                scores = evaluation.tilt(value.task, batches, value.degrees, _groups([value.task], tested))
            case Cost():
                scores = Scores(evaluation.cost(value.network, value.size))
            case Speed():
                fabric = self.where.fabric()
                device = fabric.device
                scores = evaluation.speed(value.networks, value.reference, value.size, value.rounds, fabric)
        if tested:
            counted |= {"test_images": sum(map(len, tested)), "classes": sum(len(some.classes) for some in tested)}
        if scores.samples:
            names = [group for some in tested for group in groups_of(some)]
            numbers = {group: float(number) for number, group in enumerate(dict.fromkeys(names))}
            scores.samples["group"] = [numbers[group] for group in names]
        return self.ledger.write(
            Record(
                kind="evaluation",
                identity=value.identity,
                settings=value.canonical(),
                metrics=scores.metrics,
                samples=scores.samples,
                resampled=scores.resampled,
                drawn=scores.drawn,
                rounds=scores.rounds,
                data=counted,
                hardware=hardware(device),
            )
        )
