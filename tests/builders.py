"""Small real things that several tests start from."""

from pathlib import Path

from mtlkit.data import Data
from mtlkit.data.transforms import Augmentation
from mtlkit.engine import Engine
from mtlkit.fusion import NDDR, CrossStitch, Sluice
from mtlkit.graph import Node
from mtlkit.heads import LargeFOV
from mtlkit.ledger import Record
from mtlkit.network import Network, NetworkSettings
from mtlkit.runs import Training
from mtlkit.sharing import HardSharing, SharingSettings, SoftSharing
from mtlkit.tasks import Normals, Segmentation
from mtlkit.training import Recipe
from mtlkit.worlds import plates, rooms

SIZE = (32, 40)
SEGMENTATION = Segmentation(classes=rooms.CLASSES)
NORMALS = Normals()
UNITS = {
    "cross_stitch": CrossStitch.Settings(per="layer"),
    "cross_stitch_channel": CrossStitch.Settings(per="channel"),
    "sluice": Sluice.Settings(),
    "nddr": NDDR.Settings(norm="output"),
    "nddr_input": NDDR.Settings(norm="input"),
}


def network(
    tasks=(SEGMENTATION, NORMALS), sharing: SharingSettings | None = None, backbone="mobilenetv3_small_050"
) -> NetworkSettings:
    return NetworkSettings(
        backbone=backbone,
        tasks=tasks,
        sharing=sharing or HardSharing.Settings(),
        head=LargeFOV.Settings(width=16, dilation=1, dropout=0.5),
        output_stride=32,
    )


def recipe(steps=12, **more) -> Recipe:
    settings = {"batch_size": 4, "lr": 1e-3, "augmentation": Augmentation(size=SIZE, scale_min=0.75)}
    return Recipe(**({"steps": steps} | settings | more))


def room_data(folder: Path, train=8, val=4, size=SIZE) -> Data:
    rooms.write(folder, seed=0, train=train, val=val, size=size)
    return Data(layout="npy", name="rooms", fingerprint=f"test-{train}-{val}", size=size, root=folder)


def plate_data(folder: Path, train=15, val=15, size=(48, 48)) -> Data:
    """Two images of every portion, 15 categories."""
    plates.write(folder, seed=0, train=train, val=val, size=size)
    return Data(layout="manifest", name="plates", fingerprint=f"test-{train}-{val}", size=size, root=folder)


def training(data: Data, **more) -> Training:
    return Training(**({"network": network(), "data": data, "recipe": recipe()} | more))


def record_of(engine: Engine, node: Node) -> Record:
    return engine.run([node])[node.identity]


def network_of(engine: Engine, training: Training) -> Network:
    engine.tensors(training)
    return training.trained(engine.context())


def fused(unit: str) -> SoftSharing.Settings:
    return SoftSharing.Settings(unit=UNITS[unit])
