"""Whether calories can be learnt from what the drawn dishes show."""

import pytest
from builders import plate_data, recipe

from mtlkit.data.transforms import Augmentation
from mtlkit.engine import Engine
from mtlkit.evaluations import CategoryMean, Constant, TestEvaluation
from mtlkit.heads import Exit
from mtlkit.ledger import Ledger
from mtlkit.network import NetworkSettings
from mtlkit.runs import Training
from mtlkit.runtime import Runtime
from mtlkit.tasks import Calories, Classification


@pytest.mark.slow
def test_a_network_that_sees_the_portion_beats_the_mean_of_the_category_it_names(tmp_path):
    size = (64, 64)
    data = plate_data(tmp_path / "plates", train=300, val=60, size=size)
    tasks = (Calories(unit=350), Classification(name="category", classes=15))
    training = Training(
        network=NetworkSettings(backbone="resnet10t", tasks=tasks, head=Exit.Settings(width=128)),
        data=data,
        recipe=recipe(
            steps=300,
            batch_size=16,
            optimizer="adam",
            lr=1e-3,
            loss_weights={"calories/absolute": 1 / 350, "category/cross_entropy": 0.3},
            augmentation=Augmentation(size=size, scale_min=1, scale_max=1),
        ),
    )
    seen, named = TestEvaluation(subject=training, data=data), CategoryMean(subject=training, data=data)
    blind = Constant(tasks=tasks[:1], data=data)
    found = Engine(Ledger(tmp_path / "ledger"), Runtime(device="cpu", progress=False)).run([seen, named, blind])
    error = {
        name: found[value.identity].metrics for name, value in (("seen", seen), ("named", named), ("blind", blind))
    }
    for measure in ("calories/abs_err", "calories/rel_err"):
        assert error["seen"][measure] < error["named"][measure] < error["blind"][measure]
