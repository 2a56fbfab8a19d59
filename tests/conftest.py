"""What all tests share: no network, a cache of their own, real data only where it lies beside the checkout."""

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings

# Before huggingface_hub is imported anywhere: a download that slips through fails at once.
os.environ["HF_HUB_OFFLINE"] = "1"
# Before Ray is: its nodes have the loopback's address, beyond which no test may reach.
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
os.environ.setdefault("MTLKIT_CACHE", tempfile.mkdtemp(prefix="mtlkit-cache-"))

# A slow machine is no fault: nothing here is timed.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# The networks here are tiny: threads cost more than they give, and tests run side by side.
torch.set_num_threads(1)

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Commands set the number of threads of their process, which here is that of all tests."""
    yield
    if torch.get_num_threads() != 1:
        torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.socket.connect

    def local_only(self: socket.socket, address: object) -> None:
        host = address[0] if isinstance(address, tuple) else address
        if self.family == socket.AF_UNIX or host in ("127.0.0.1", "::1", "localhost"):
            return connect(self, address)  # type: ignore[arg-type]
        raise AssertionError(f"a test reached for the network: {address}")

    monkeypatch.setattr(socket.socket, "connect", local_only)


@pytest.fixture(scope="session")
def counted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What is printed and what runs, of all papers, with nothing measured: a quarter of a minute, so once."""
    from mtlkit.report.coverage import coverage  # only now, since it brings huggingface_hub
    from mtlkit.results import Results

    return coverage(Results(tmp_path_factory.mktemp("nothing")))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real data copies and weights; tests that want it skip loudly where it is not."""
    if not SHARED.is_dir():
        pytest.skip("SKIPPED LOUDLY: the folder with real data copies is not beside this checkout")
    return SHARED
