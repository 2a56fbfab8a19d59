"""Further processes on this machine."""

import multiprocessing
from multiprocessing.context import ForkServerContext, SpawnContext


def clean() -> ForkServerContext | SpawnContext:
    """How processes are started that share nothing with this one: from a server that has the libraries loaded, where
    the system has that, since a fresh start imports for seconds."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    from multiprocessing import forkserver  # cannot be imported elsewhere

    context = multiprocessing.get_context("forkserver")
    # What this package imports at once, and the libraries it imports where a network is built, trained or scored.
    libraries = ["lightning.fabric", "timm", "torchmetrics", "torchvision.ops"]
    context.set_forkserver_preload(["mtlkit.work", "mtlkit.estimates", *libraries])
    forkserver.ensure_running()  # at once: it loads on another core while this process goes on
    return context
