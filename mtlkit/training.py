"""One readable loop: optimiser, schedule, checkpoint, exact resume.

Nothing here depends on a generator's past: what step ``s`` draws is a function of (seed, s), the data of step
``s`` of (seed, epoch, index), the learning rate of step ``s`` of the recipe. So a run that was killed and resumed
from a checkpoint gives the same numbers as one that was not; on a CPU bit for bit, where it goes on with as many
threads (``OMP_NUM_THREADS``), since sums are split among them.

At a mixed precision the layers of a network compute with 16 bits where autocast
(https://docs.pytorch.org/docs/stable/amp.html) holds that safe. All else stays in float32: images, regions and targets;
weights, gradients and what the optimiser keeps; scales, shifts and running statistics of norms; losses and penalties,
which are computed outside autocast from outputs that are float32 again; all evaluation, which runs without autocast.
With float16 the sum of the losses is scaled before the backward pass, since small gradients would vanish
(:class:`torch.amp.GradScaler`); where scaled gradients are infinite the scaler skips the step and halves its scale. The
history holds the losses before scaling, and a divergence is one of these.
"""

import math
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from tqdm import tqdm

from mtlkit import checkpoints
from mtlkit.data.samples import Batch
from mtlkit.data.sampling import AnyAugmentation
from mtlkit.devices import Precision
from mtlkit.errors import InputError
from mtlkit.history import CHECK_EVERY, History, Timing, TrainingDiverged, divergence
from mtlkit.network import Network, parameter_groups
from mtlkit.objectives import NO_TASK, FixedWeights, ObjectiveSettings
from mtlkit.values import Value

if TYPE_CHECKING:
    from lightning.fabric import Fabric


class Recipe(Value):
    """How a network is trained."""

    steps: int
    batch_size: int
    """Images a batch."""
    samples_per_class: int = Field(default=1, alias="together")
    """Images of one class that stand next to each other in the order they are seen, for losses that compare them."""
    accumulate: int = 1
    """Batches a step; the gradient is their mean."""
    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    lr: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 0.0
    decay_all: bool = False
    """Weight decay on norms, biases and mixing scalars too."""
    lr_mult: dict[str, float] = {}
    """Group of parameters -> what multiplies its learning rate; see :func:`mtlkit.network.parameter_groups`."""
    schedule: Literal["constant", "poly", "step", "cosine"] = "poly"
    power: float = 0.9
    milestones: tuple[float, ...] = ()
    """Shares of the run after which ``step`` multiplies the rate by ``gamma``."""
    gamma: float = 0.1
    loss_weights: dict[str, float] = {}
    """Weight of a term ``task/term``; 1 where none is given."""
    objective: ObjectiveSettings = FixedWeights.Settings()
    """What the tasks' losses, with these weights inside, become one gradient by."""
    augmentation: AnyAugmentation
    precision: Precision = "32-true"
    """The numbers that layers compute with, float32 throughout or 16 bits as :mod:`mtlkit.training` says."""
    channels_last: bool = False
    """Maps lie in memory with the channels innermost, wherever the training runs; see :func:`memory_format`."""

    @property
    def images_a_step(self) -> int:
        """Images that a step's gradient comes from."""
        return self.batch_size * self.accumulate

    @property
    def images(self) -> int:
        """Images the network sees."""
        return self.steps * self.images_a_step

    def lr_factor(self, step: int) -> float:
        """The schedule: what multiplies every group's rate at ``step`` (from 0)."""
        done = step / self.steps
        if self.schedule == "poly":
            return float((1 - done) ** self.power)
        if self.schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * done))
        if self.schedule == "step":
            return float(self.gamma ** sum(done >= milestone for milestone in self.milestones))
        return 1.0


def optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimiser of a network's parameters, which may be those of several modules in a
    :class:`torch.nn.ModuleList`; every group keeps its ``lr_mult`` beside the rate."""
    groups = parameter_groups(
        network, lr=recipe.lr, weight_decay=recipe.weight_decay, lr_mult=recipe.lr_mult, decay_all=recipe.decay_all
    )
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum)
    kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    return kind(groups, lr=recipe.lr)


def set_rates(optimizer: torch.optim.Optimizer, recipe: Recipe, step: int) -> None:
    """Sets every group's rate for ``step`` from the recipe and the group's multiplier, whatever it was before.

    Multiplying rates step by step, or setting one rate for all groups each epoch, is how a well-known public
    implementation loses the multiplier of its fusion layers.
    """
    for group in optimizer.param_groups:
        group["lr"] = recipe.lr * recipe.lr_factor(step) * group["lr_mult"]


def memory_format(recipe: Recipe, device: torch.device) -> torch.memory_format:
    """How weights and maps lie in memory; it decides how fast a step is, not what it computes.

    Tensor cores, which only 16-bit convolutions use here, want the channels innermost and would reorder every map. On
    other devices it depends on the network, and a recipe says so.
    """
    tensor_cores = device.type == "cuda" and recipe.precision != "32-true"
    return torch.channels_last if recipe.channels_last or tensor_cores else torch.contiguous_format


def outputs_of(network: Network, batch: Batch, layout: torch.memory_format, fabric: "Fabric") -> dict[str, Tensor]:
    """A network's outputs in float32, its layers at the fabric's precision."""
    # Not through the module that Fabric wraps: it rounds what goes in, and bfloat16 knows pixels above 256 by twos.
    with fabric.autocast():
        outputs = network(batch.images.to(memory_format=layout), batch.regions, batch.rows)
    return {task: output.float() for task, output in outputs.items()}


def loss_terms(network: Network, outputs: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
    """``task/term`` -> loss, the sharing's penalty among them; zero for a task that the batch has no target of."""
    terms: dict[str, Tensor] = {}
    for task, output in outputs.items():
        if task not in batch.targets:
            # A sum over no rows: its gradients are zeros, so the optimiser moves the head as in any other step.
            terms |= {f"{task}/{term}": output[:0].sum() for term in network.tasks[task].terms}
            continue
        target, rows = batch.targets[task], batch.rows[task]
        if len(rows) < len(output):
            output = output[rows]
        for term, loss in network.losses(task, output, target).items():
            terms[f"{task}/{term}"] = loss
    if (penalty := network.penalty()) is not None:
        terms[f"{NO_TASK}/penalty"] = penalty
    return terms


def train(
    network: Network,
    batches: Callable[[int], Iterable[Batch]],
    recipe: Recipe,
    *,
    seed: int,
    fabric: "Fabric",
    checkpoint: Path,
    checkpoint_seconds: float = 60.0,
    snapshots: Collection[int] = (),
    snapshot: Callable[[int], None] = lambda step: None,
    title: str | None = None,
    watch: Callable[[int], None] = lambda done: None,
) -> tuple[History, Timing]:
    """Trains ``network`` in place.

    Args:
        network: the network, on any device.
        batches: from a batch number on, the batches of the run, on the CPU.
        recipe: how to train.
        seed: of dropout and everything else that draws during a step.
        fabric: device and precision.
        checkpoint: where the state is kept, for the caller to remove; when the file exists, the run goes on from it.
        checkpoint_seconds: time between two checkpoints.
        snapshots: steps, counted from 1, after which ``snapshot`` is called; a run whose checkpoint is behind one of
            them starts anew.
        snapshot: looks at the network, which is in evaluation mode meanwhile; told the step.
        title: shown beside the progress bar; ``None`` shows no bar.
        watch: told how many steps are done, before the first and after each.

    Returns:
        What the losses did, and where the time went.

    Raises:
        TrainingDiverged: when a loss is no longer finite.
        InputError: when a task has had no target at all.
    """
    layout = memory_format(recipe, fabric.device)
    network.to(fabric.device, memory_format=layout).train()  # type: ignore[call-overload]
    # A network of one task may have the recipe of one of several.
    weights = {name: one for name, one in recipe.loss_weights.items() if _task(name) in (*network.tasks, NO_TASK)}
    objective = recipe.objective.build(list(network.tasks), weights).to(fabric.device)
    if recipe.precision == "16-mixed" and not objective.scales:
        raise InputError(f"16-mixed scales losses, which {recipe.objective} cannot have; take bf16-mixed or 32-true.")
    shared, own = network.shared_parameters()
    _, optimiser = fabric.setup(network, optimizer(nn.ModuleList([network, objective]), recipe))
    precision = fabric.strategy.precision
    history, timing, first = History(), Timing(), 0
    state = checkpoints.load(checkpoint, fabric.device)
    # A checkpoint that lies behind a snapshot that is still to be taken is of no use.
    if state is not None and not any(step <= state["step"] for step in snapshots):
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimizer"])
        objective.load_state_dict(state.get("objective", {}))
        if scaler := state.get("scaler"):
            precision.load_state_dict(scaler)
        history, timing = History(**state["history"]), Timing(**state["timing"])
        first = state["step"]

    window: list[Tensor] = []
    multipliers: list[Tensor] = []
    names: list[str] = []
    stream = iter(batches(first * recipe.accumulate))
    began = saved = time.perf_counter()
    spent = timing.training
    bar = tqdm(range(first, recipe.steps), initial=first, total=recipe.steps, desc=title, disable=title is None)
    watch(first)
    for step in bar:
        torch.manual_seed(step_seed(seed, step))
        set_rates(optimiser, recipe, step)
        optimiser.zero_grad(set_to_none=True)
        seen: list[Tensor] = []
        targets: list[list[bool]] = []
        for _ in range(recipe.accumulate):
            asked = time.perf_counter()
            batch = next(stream)
            timing.waiting_for_data += time.perf_counter() - asked
            batch = batch.to(fabric.device)
            terms = loss_terms(network, outputs_of(network, batch, layout, fabric), batch)
            present = [task for task in network.tasks if task in batch.targets]
            objective.backward(
                terms, present=present, shared=shared, own=own, batches=recipe.accumulate, backward=fabric.backward
            )
            seen.append(torch.stack([loss.detach().float() for loss in terms.values()]))
            targets.append([_task(name) in (*batch.targets, NO_TASK) for name in terms])
        if (multiplied := objective.finish()) is not None:
            multipliers.append(multiplied.detach().float())
        optimiser.step()
        names = list(terms)
        # The mean over the batches that had a target of the task; the others' terms are zero.
        counts = torch.tensor(targets).sum(0).clamp(min=1).to(fabric.device)
        window.append(torch.stack(seen).sum(0) / counts)
        watch(step + 1)
        # Before the checkpoint of this step is written: a run that goes on from there does not come here again.
        if step + 1 in snapshots:
            asked = time.perf_counter()
            network.eval()
            snapshot(step + 1)
            network.train()
            spent -= time.perf_counter() - asked

        if len(window) == CHECK_EVERY or step + 1 == recipe.steps:
            losses = torch.stack(window).cpu()
            window.clear()
            timing.training = spent + time.perf_counter() - began
            if diverged := divergence(losses, names, step):
                message = f"{diverged}; a lower learning rate or smaller loss weight usually helps."
                raise TrainingDiverged(message[0].upper() + message[1:], diverged, history, timing)
            history.steps.append(step + 1)
            for name, mean in zip(names, losses.double().mean(0).tolist(), strict=True):
                history.losses.setdefault(name, []).append(mean)
            if multipliers:
                means = torch.stack(multipliers).double().mean(0).tolist()
                multipliers.clear()
                for task, mean in zip(objective.tasks, means, strict=True):
                    history.weights.setdefault(task, []).append(mean)
            bar.set_postfix({name: f"{values[-1]:.3f}" for name, values in history.losses.items()}, refresh=False)
            now = time.perf_counter()
            if now - saved >= checkpoint_seconds and step + 1 < recipe.steps:
                saved = now
                state = {
                    "network": network.state_dict(),
                    "optimizer": optimiser.state_dict(),
                    "objective": objective.state_dict(),
                    "scaler": precision.state_dict(),  # of the losses at 16-mixed; else empty
                    "history": history.model_dump(),
                    "timing": timing.model_dump(),
                    "step": step + 1,
                }
                checkpoints.save(checkpoint, state)
    for name in untaught(network, history):
        raise InputError(
            f"Nothing was learnt of {name}: its losses are 0 in all {recipe.steps} steps, as they are where no "
            "training image has a target of it (every pixel void, say); give data with targets, or leave the "
            "task out."
        )
    history.objective = {name: state.flatten().tolist() for name, state in objective.state_dict().items()}
    history.mixing = network.mixing_weights()
    return history, timing


def untaught(network: Network, history: History) -> list[str]:
    """The tasks of which a training had no target: without one a loss is exactly 0, and with one it hardly ever is."""
    taught = {_task(name) for name, means in history.losses.items() if any(means)}
    return [name for name in network.tasks if name not in taught]


def _task(name: str) -> str:
    """The task of a loss term."""
    return name.partition("/")[0]


def step_seed(seed: int, step: int) -> int:
    """The seed of everything that step ``step`` draws."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0] >> 1)
