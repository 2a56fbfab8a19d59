"""How long networks take for one image."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch

from mtlkit.errors import InputError
from mtlkit.graph import Content, Context, Node
from mtlkit.network import Network, NetworkSettings, check_size, parameter_count
from mtlkit.runtime import hardware, machine, wait

if TYPE_CHECKING:
    from lightning.fabric import Fabric


class Speed(Node):
    """How long untrained networks take for one image, one after the other, beside what stands for the same work.

    Attributes:
        networks: timed one after the other, as a user who runs them all would wait.
        reference: timed in turns with them, so that a machine that changes its pace changes it for both.
        size: height and width of the image.
        rounds: timings of both, after a warm-up.
        hardware: the machine, as :func:`mtlkit.runtime.machine` names it: another one's times are other numbers.
    """

    alone: ClassVar[bool] = True

    networks: tuple[NetworkSettings, ...]
    reference: tuple[NetworkSettings, ...]
    size: tuple[int, int]
    rounds: int = 100
    hardware: str

    def check(self) -> None:
        """Refuses images that one of the networks cannot take.

        Raises:
            InputError: see :func:`mtlkit.network.check_size`.
        """
        for network in (*self.networks, *self.reference):
            check_size(network, self.size)

    def run(self, context: Context) -> Content:
        """Times, and the number of parameters.

        Raises:
            InputError: this is another machine.
        """
        fabric = context.runtime.fabric()
        if (here := machine(hardware(fabric.device))) != self.hardware:
            raise InputError(f"These times are of another machine ({self.hardware}); this one is {here}.")
        return speed(self.networks, self.reference, self.size, self.rounds, fabric)


@torch.inference_mode()
def speed(
    networks: Sequence[NetworkSettings],
    reference: Sequence[NetworkSettings],
    size: tuple[int, int],
    rounds: int,
    fabric: "Fabric",
) -> Content:
    """Median times of one image (batch 1), the networks run one after the other.

    Every round times the networks, the networks with decoding, and the reference; the device is waited for before the
    clock is read. A tenth of the rounds, at least three, go before as a warm-up.

    Returns:
        ``speed/ms`` and ``speed/fps`` of the networks alone, ``speed/decoded_ms`` with what they find decoded,
        ``speed/parameters``; ``speed/ratio``, the median over rounds of the time over the reference's; all but the
        parameters round by round too.
    """
    image = torch.rand(1, 3, *size, device=fabric.device)
    systems = [[one.build(weights=False).to(fabric.device).eval() for one in some] for some in (networks, reference)]

    def once(system: list[Network], decode: bool) -> float:
        wait(fabric.device)
        began = time.perf_counter()
        for network in system:
            outputs = network(image)
            if decode:
                for name, task in network.tasks.items():
                    task.postprocess(outputs[name])
        wait(fabric.device)
        return 1000 * (time.perf_counter() - began)

    warm_up = max(3, rounds // 10)
    times = [
        [once(systems[0], False), once(systems[0], True), once(systems[1], False)] for _ in range(warm_up + rounds)
    ]
    alone, decoded, beside = np.array(times[warm_up:]).T
    rounds_of = {
        "speed/ms": alone, "speed/fps": 1000 / alone, "speed/decoded_ms": decoded, "speed/ratio": alone / beside
    }  # fmt: skip
    metrics = {name: float(np.median(each)) for name, each in rounds_of.items()}
    metrics["speed/fps"] = 1000 / metrics["speed/ms"]
    metrics["speed/parameters"] = float(sum(map(parameter_count, systems[0])))
    rounds_found = {name: each.round(5).tolist() for name, each in rounds_of.items()}
    return Content(metrics, rounds=rounds_found, device=fabric.device)
