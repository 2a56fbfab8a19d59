"""Trainings as nodes of the graph of runs."""

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch import Tensor

from mtlkit.data import AnyData, Mixture
from mtlkit.data.sampling import Part, loader
from mtlkit.errors import InputError
from mtlkit.graph import Content, Context, Node, ordered, reads
from mtlkit.history import TrainingDiverged
from mtlkit.network import Network, NetworkSettings, check_size, parameter_count
from mtlkit.objectives import inverse_means
from mtlkit.training import Recipe, train
from mtlkit.values import Value


class EarlierLosses(Value):
    """Loss weights from the history of an earlier training; see :class:`mtlkit.objectives.InverseMeans`.

    Attributes:
        run: the training whose losses are looked at; it has the same loss terms.
        one: the term whose weight is to be exactly 1.
        last: how many windows of the history count, from its end; ``None``: all.
    """

    tag: ClassVar[str] = "Balance"

    run: Node
    one: str
    last: int | None = None


class Training(Node):
    """A network trained on a data set.

    Attributes:
        network: what is trained.
        data: on what.
        recipe: how.
        seed: of the start weights and of every draw.
        starts: task -> the single-task training whose weights that task's encoder and head start from; of a training of
            another task all but the classifier.
        balance: where the weights of the loss terms come from an earlier training; they replace the recipe's.
    """

    kind: ClassVar[str] = "training"
    keeps: ClassVar[str | None] = "weights"
    costly: ClassVar[bool] = True

    network: NetworkSettings
    data: AnyData
    recipe: Recipe
    seed: int = 0
    starts: dict[str, "Training"] = {}
    balance: EarlierLosses | None = None

    @property
    def loads(self) -> tuple["Training", ...]:
        """The trainings it starts from."""
        return tuple(start for _, start in sorted(self.starts.items()))

    @property
    def needs(self) -> tuple[Node, ...]:
        """What must have been trained before."""
        return self.loads if self.balance is None else (*self.loads, self.balance.run)

    @property
    def images_seen(self) -> int:
        """Images one encoder has seen by the end, those of the training it started from included."""
        return self.recipe.images + max((start.images_seen for start in self.starts.values()), default=0)

    def images_seen_for(self, task: str) -> int:
        """Images of the task that its encoder has seen by the end.

        A start counts that learnt the same task from the same data; data sets that are learnt together share every
        batch in equal parts, and a task's images are those of its own set.
        """
        sets = len(self.data.sets) if isinstance(self.data, Mixture) else 1
        start = self.starts.get(task)
        own = start and start.data == self.data and task in {one.name for one in start.network.tasks}
        return self.recipe.images // sets + (start.images_seen_for(task) if start and own else 0)

    @property
    def title(self) -> str:
        """In a few words, for progress bars."""
        tasks = self.network.tasks
        how = self.network.sharing.label if len(tasks) > 1 else "single"
        return f"{self.network.backbone} {how} {'+'.join(task.name for task in tasks)} seed {self.seed}"

    def trained(self, context: Context) -> Network:
        """The trained network, in evaluation mode on the CPU.

        Raises:
            WeightsMissing: the weights are not those that the record speaks of.
        """
        network = self.network.build(weights=False)
        network.load_state_dict(context.tensors(self))
        return network.eval()

    def started(self, context: Context) -> Network:
        """The network as its training begins."""
        torch.manual_seed(self.seed)
        network = self.network.build(weights=not self.starts)
        for task, start in self.starts.items():
            # Another task's classifier answers another question.
            same = start.network.tasks == (network.tasks[task],)
            network.load_single_task(task, start.trained(context).state_dict(), classifier=same)
        return network

    def loss_weights(self, context: Context) -> dict[str, float]:
        """The recipe's, or those that an earlier training's losses give."""
        if (balance := self.balance) is None:
            return self.recipe.loss_weights
        history = context.record(balance.run).history
        return inverse_means(history.losses if history else {}, balance.one, balance.last)

    def check(self) -> None:
        """Refuses images that the network cannot take, in training or where it is scored, and tasks of a single class.

        Raises:
            InputError: see :func:`mtlkit.network.check_size`; or there is nothing to tell apart in a task.
        """
        for task in self.network.tasks:
            if task.outputs == 1 and task.terms == ("cross_entropy",):
                raise InputError(
                    f"All that {task.name} could name is one class, so that every answer would be right; give data of "
                    "several classes, or leave the task out."
                )
        for size in {self.recipe.augmentation.size, self.data.size}:
            check_size(self.network, size)

    def run(self, context: Context) -> Content:
        """Trains it, from its last checkpoint where there is one; riders see the network after their steps.

        A training that diverges is a result too, without weights: to run it again would give the same.
        """
        recipe, runtime = self.recipe.model_copy(update={"loss_weights": self.loss_weights(context)}), context.runtime
        fabric = runtime.fabric(recipe.precision)
        datasets = self.data.splits("train", reads(self.network.tasks))
        # Which images a fraction of a set holds: the same for every method, to be seen in the records.
        parts = [dataset.fingerprint() for dataset in datasets if isinstance(dataset, Part)]
        network = self.started(context)
        checkpoint = context.ledger.checkpoint(self.identity)
        riders = [rider for rider in context.riders if isinstance(rider, Rider)]
        data = (
            {
                "train_images": sum(map(len, datasets)),
                "images_seen": self.images_seen,
                "parameters": parameter_count(network),
            }
            | ({"parts": parts} if parts else {})
            | ({"loss_weights": recipe.loss_weights} if self.balance else {})
        )

        def watch(done: int) -> None:
            if runtime.watch is not None:
                runtime.watch(self.title, done, recipe.steps)

        def look(step: int) -> None:
            for rider in riders:
                if rider.step == step:
                    context.keep(rider, rider.seen(network, context))

        try:
            history, timing = train(
                network,
                lambda first: loader(
                    datasets,
                    recipe.augmentation,
                    batch_size=recipe.batch_size,
                    steps=recipe.steps * recipe.accumulate,
                    start_step=first,
                    seed=self.seed,
                    workers=runtime.readers(fabric.device),
                    pin=fabric.device.type == "cuda",
                    samples_per_class=recipe.samples_per_class,
                    tasks=self.network.tasks,
                ),
                recipe,
                seed=self.seed,
                fabric=fabric,
                checkpoint=checkpoint,
                checkpoint_seconds=runtime.checkpoint_seconds,
                snapshots={rider.step for rider in riders},
                snapshot=look,
                title=self.title if runtime.progress else None,
                watch=watch,
            )
        except TrainingDiverged as error:
            if error.divergence is None:
                raise
            return Content(
                history=error.history, timing=error.timing, diverged=error.divergence, data=data, device=fabric.device
            )
        return Content(history=history, timing=timing, data=data, tensors=network.state_dict(), device=fabric.device)


class Rider(Node):
    """What looks at a network after a step of its training, while that runs.

    Attributes:
        subject: the training.
        step: counted from 1.
    """

    recorded: ClassVar[bool] = False

    subject: Training
    step: int

    @property
    def needs(self) -> tuple[Training, ...]:
        """The training."""
        return (self.subject,)

    @property
    def during(self) -> Training | None:
        """The training, unless it is looked at when that is over."""
        return self.subject if self.step < self.subject.recipe.steps else None

    def seen(self, network: Network, context: Context) -> dict[str, Tensor]:
        """What it keeps of the network, which is in evaluation mode."""
        raise NotImplementedError

    def run(self, context: Context) -> Content:
        """The same of the trained network."""
        return Content(tensors=self.seen(self.subject.trained(context), context))


def trainings(nodes: Iterable[Node]) -> dict[str, Training]:
    """Identity -> training, for all that the nodes need, prerequisites before what starts from them."""
    return {key: node for key, node in ordered(nodes).items() if isinstance(node, Training)}


def outermost(nodes: Iterable[Node]) -> list[Training]:
    """The trainings that the nodes look at, and not those that these start from."""
    found = trainings(nodes)
    inner = {need.identity for training in found.values() for need in training.needs}
    return [training for key, training in found.items() if key not in inner]
