"""Further processes on this machine."""

import multiprocessing
from multiprocessing.context import ForkServerContext, SpawnContext


def clean() -> ForkServerContext | SpawnContext:
    """How processes are started that share nothing with this one: from a server that has the libraries loaded, where
    the system has that, since a fresh start imports for seconds."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mtlkit.work", "mtlkit.estimates"])
    return context
