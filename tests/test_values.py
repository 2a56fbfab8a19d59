from typing import ClassVar

import pytest
from pydantic import Field

from mtlkit.data import Data
from mtlkit.data.transforms import Augmentation
from mtlkit.evaluations import Constant, TestEvaluation
from mtlkit.fusion import NDDR, CrossStitch, Sluice
from mtlkit.heads import FCN32s, LargeFOV
from mtlkit.network import NetworkSettings
from mtlkit.runs import Training
from mtlkit.sharing import HardSharing, SoftSharing
from mtlkit.tasks import Normals, Segmentation
from mtlkit.training import Recipe
from mtlkit.values import Value

SEGMENTATION = Segmentation(classes=("a", "b"))
DATA = Data(layout="npy", name="rooms", fingerprint="rooms-r1-s0-64-32", size=(64, 80))
RECIPE = Recipe(steps=10, batch_size=4, augmentation=Augmentation(size=(64, 80)))
NETWORK = NetworkSettings(backbone="resnet18", tasks=(SEGMENTATION,), head=LargeFOV.Settings())
TRAINING = Training(network=NETWORK, data=DATA, recipe=RECIPE)


class Early(Value):
    x: int = 1
    y: int = 2


def test_a_new_field_with_a_default_keeps_earlier_identities():
    class Late(Value):
        x: int = 1
        y: int = 2
        z: int = 3

    Late.tag = Early.tag
    assert Early(x=5).identity == Late(x=5).identity
    assert Late(x=5, z=4).identity != Late(x=5).identity


def test_what_is_renamed_keeps_its_identity_and_reads_old_records():
    class FusionLayer(Value):
        alpha: float = 0.9
        inner: Early = Early()

    class FusionLayer(Value):
        tag: ClassVar[str] = FusionLayer.tag
        start: float = Field(default=0.9, alias="alpha")
        inside: Early = Field(default=Early(), alias="inner")

    before, after = FusionLayer(alpha=0.5, inner=Early(x=3)), FusionLayer(start=0.5, inside=Early(x=3))
    assert after.identity == before.identity
    assert FusionLayer.model_validate(before.model_dump()) == after
    assert FusionLayer(alpha=0.5, inner=Early(x=3)) == after
    # A class made from a renamed one is another kind.
    assert type("Other", (FusionLayer,), {}).tag != FusionLayer.tag


def test_values_of_different_kinds_never_share_an_identity():
    assert LargeFOV.Settings().identity != FCN32s.Settings().identity
    assert HardSharing.Settings().identity != Value().identity


def test_where_data_lies_is_no_part_of_what_it_is(tmp_path):
    assert DATA.identity == DATA.model_copy(update={"root": tmp_path}).identity


def test_a_training_names_what_it_starts_from_by_identity():
    later = TRAINING.model_copy(update={"starts": {"segmentation": TRAINING}})
    assert later.canonical()["starts"] == {"segmentation": TRAINING.identity}
    assert later.images_seen == 2 * TRAINING.images_seen
    assert TestEvaluation(subject=TRAINING, data=DATA).canonical()["subject"] == TRAINING.identity


# A released default never changes: a change here would orphan every record that anybody has.
PINNED = {
    "data": (DATA, "c28004b5a92d"),
    "recipe": (RECIPE, "d872d52e6927"),
    "network": (NETWORK, "ac2edb10cd57"),
    "training": (TRAINING, "c8aa31beb4c5"),
    "standard": (TestEvaluation(subject=TRAINING, data=DATA), "07c4e3e8d413"),
    "constant": (Constant(tasks=(SEGMENTATION, Normals()), data=DATA), "823b961c08f2"),
    "cross_stitch": (SoftSharing.Settings(unit=CrossStitch.Settings()), "e1d1bbe721ce"),
    "sluice": (SoftSharing.Settings(unit=Sluice.Settings()), "9bbb2f33219b"),
    "nddr": (SoftSharing.Settings(unit=NDDR.Settings()), "3c6e0db505f5"),
    "fcn32s": (FCN32s.Settings(kernel=5), "63ee5b6d806c"),
}


@pytest.mark.parametrize("name", PINNED)
def test_pinned_identities(name):
    value, identity = PINNED[name]
    assert value.identity == identity


def test_a_copy_with_other_fields_has_an_identity_of_its_own():
    one = Early(x=5)
    assert one.identity == Early(x=5).identity
    assert one.model_copy(update={"x": 6}).identity == Early(x=6).identity
    assert one.model_copy(update={"x": 6}, deep=True).identity == Early(x=6).identity
    assert one == Early(x=5)  # one has told its identity, the other has not


def test_the_cached_identity_is_no_field():
    one = Early(x=5)
    before = dict(one)
    assert one.identity
    assert dict(one) == before
    assert Early(**dict(one)) == one
