"""A small NYU Depth v2 whose frames show planes."""

from pathlib import Path

import h5py
import numpy as np
import torch
from scipy.io import savemat

from mtlkit.data.nyuv2 import CX, CY, FX, FY

# Canonical directions (x right, y up, z towards the camera) and distances (metres) of one plane a frame.
PLANES = [((0.0, 0.0, 1.0), 2.0), ((0.0, 0.8, 0.6), 1.5), ((0.6, 0.0, 0.8), 2.0), ((-0.3, -0.5, 0.81), 3.0)]


def plane(normal: tuple[float, float, float], distance: float) -> np.ndarray:
    """Depth of the plane with a canonical normal, ``distance`` metres from the camera, as the colour camera sees it."""
    v, u = np.mgrid[:480, :640]
    x, y, z = np.array(normal) / np.linalg.norm(normal)
    # Camera frame (x right, y down, z forward): (x, -y, -z) . P = -distance.
    facing = -(x * (u - CX) / FX - y * (v - CY) / FY - z)
    return np.where(facing > 0.05, distance / np.maximum(facing, 0.05), 0.0).astype(np.float32)


def degrees(found: torch.Tensor, normal: tuple[float, float, float]) -> torch.Tensor:
    """Angles between the values of a map and one direction."""
    there = found.norm(dim=0) > 0
    cosines = (found[:, there].double().T @ torch.tensor(normal, dtype=torch.float64)) / np.linalg.norm(normal)
    return torch.rad2deg(torch.arccos(cosines.clamp(-1, 1)))


def write(root: Path, frames: int = 4) -> None:
    """The official files' layout, with MATLAB's reversed axes; column 600 of frame i holds raw label i."""
    labels = np.zeros((frames, 640, 480), np.uint16)
    images = np.zeros((frames, 3, 640, 480), np.uint8)
    for i in range(frames):
        labels[i, :, :] = 1
        labels[i, 600, :] = i
        images[i, 0, :, 7] = i + 1  # row 7 is red
    with h5py.File(root / "nyu_depth_v2_labeled.mat", "w") as file:
        file["images"], file["labels"] = images, labels
        file["depths"] = np.stack([plane(*PLANES[i % 4]).T for i in range(frames)])
    savemat(root / "splits.mat", {"trainNdxs": np.array([[1], [2], [4]]), "testNdxs": np.array([[3]])})
    names = np.array([["wall", "floor", "bed"]], dtype=object)
    savemat(root / "classMapping40.mat", {"className": names, "mapClass": np.array([[2, 1, 3]], np.uint8)})
