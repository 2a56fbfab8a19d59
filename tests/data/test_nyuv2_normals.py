"""Published normals of NYU Depth v2, whatever their axes, become the maps that the reader takes."""

import gzip
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from planes import PLANES, degrees, write

from mtlkit.data.nyuv2 import NYUv2
from mtlkit.data.nyuv2_normals import write_maps
from mtlkit.errors import InputError


@pytest.fixture
def nyuv2(tmp_path):
    """Frames that show planes, with published normals of them in axes of somebody's own."""
    root = tmp_path / "nyuv2"
    root.mkdir()
    write(root)
    canonical = np.stack([np.broadcast_to(np.divide(n, np.linalg.norm(n)), (480, 640, 3)) for n, _ in PLANES])
    masks = np.ones((4, 480, 640), np.uint8)
    masks[:, 100] = 0

    def publish(change, protocol=2, **changed):
        normals = change(canonical).astype(np.float32)
        content = {"all_normals": normals[::-1], "all_valid_depth_masks": masks[::-1]}
        content |= {"all_filenames": [f"{n:05d}" for n in (4, 3, 2, 1)]} | changed
        (root / "surfacenormal_metadata").mkdir(exist_ok=True)
        with gzip.open(root / "surfacenormal_metadata/all_normals.pklz", "wb", compresslevel=0) as file:
            pickle.dump(content, file, protocol=protocol)
        return root

    return publish


@pytest.mark.parametrize(
    ("change", "protocol"), [(lambda n: n, 2), (lambda n: n[..., [2, 0, 1]] * [-1, 1, -1], 5)], ids=["ours", "others"]
)
def test_published_normals_keep_their_direction_whatever_their_axes(nyuv2, change, protocol):
    root = nyuv2(change, protocol)
    NYUv2.arrange(root)
    assert sorted(path.name for path in (root / "normals").iterdir()) == [f"{n:04d}.png" for n in range(4)]
    for split, frames in (("train", (0, 1, 3)), ("val", (2,))):
        for sample, frame in zip(NYUv2(root, split), frames, strict=False):
            found = sample["normals"]
            assert degrees(found, PLANES[frame][0]).max() < 0.6
            assert not found[:, 100].any()
            assert found[:, 200, 300].any()
    before = (root / "normals/0000.png").stat().st_mtime_ns
    NYUv2.arrange(root)
    assert (root / "normals/0000.png").stat().st_mtime_ns == before


def test_normals_that_agree_with_no_depth_are_refused(nyuv2):
    generator = np.random.default_rng(0)
    root = nyuv2(lambda n: generator.normal(size=n.shape))
    archive, ahead = root / "surfacenormal_metadata/all_normals.pklz", torch.tensor([0.0, 0.0, 1.0])
    with pytest.raises(InputError, match=r"axes of .*all_normals\.pklz cannot be told: .* mean cosine of 0\.\d\d"):
        write_maps(archive, root / "normals", lambda _: ahead[:, None, None].expand(3, 480, 640), 4)
    assert not list(root.glob("*normals"))
    assert not list(root.glob(".normals*"))


def test_a_pickle_of_something_else_is_refused_and_runs_nothing(nyuv2, tmp_path):
    class Evil:
        def __reduce__(self):
            return Path.touch, (tmp_path / "evil",)

    for changed, sentence in (
        ({"more": Evil()}, r"is not the published file \(it asks for "),
        ({"all_filenames": ["00001"]}, r"is not the published file"),
        ({"all_filenames": [f"{n:05d}" for n in (1, 2, 3, 5)]}, r"holds 4 frames, not those from 1 to 4"),
        ({"all_normals": np.zeros(3)}, r"its arrays are \[\(3,\)"),
    ):
        root = nyuv2(lambda n: n, **changed)
        damaged = root / "surfacenormal_metadata/all_normals.pklz"
        with pytest.raises(InputError, match=sentence):
            write_maps(damaged, root / "normals", lambda _: None, 4)
    assert not (tmp_path / "evil").exists()
    damaged.write_bytes(damaged.read_bytes()[:999])
    with pytest.raises(InputError, match="is not the published file"):
        write_maps(damaged, root / "normals", lambda _: None, 4)
