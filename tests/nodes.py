"""Nodes of the tests' own that other processes can import: what they do is written into a folder, a file a run."""

import multiprocessing
import os
import time
import uuid
from pathlib import Path
from typing import ClassVar

import torch
from pydantic import Field

from mtlkit.errors import InputError
from mtlkit.graph import Content, Node
from mtlkit.history import Divergence


class Task(Node):
    """A number: one more than all that it needs.

    Attributes:
        name: tells it apart.
        after: what it needs.
        seconds: that it takes.
        fails: whether it does.
        log: where every run leaves a file.
    """

    keeps: ClassVar[str | None] = "numbers"
    costly: ClassVar[bool] = True

    name: str
    after: tuple["Task", ...] = ()
    seconds: float = Field(default=0.0, exclude=True)
    fails: bool = Field(default=False, exclude=True)
    log: Path = Field(exclude=True)

    @property
    def needs(self):
        return self.after

    def run(self, context):
        (self.log / f"{self.name}-{uuid.uuid4().hex}").write_text(str(os.getpid()))
        time.sleep(self.seconds)
        if self.fails:
            raise InputError(f"{self.name} cannot be had.")
        total = 1.0 + sum(context.tensors(one)["sum"].item() for one in self.after)
        return Content({"sum": total}, tensors={"sum": torch.tensor(total)})


class Reading(Task):
    """One that starts a process, as what reads data does."""

    def run(self, context):
        process = multiprocessing.get_context("spawn").Process(target=os.getpid)
        process.start()
        process.join()
        return super().run(context)


class Diverging(Task):
    """One that comes to nothing."""

    def run(self, context):
        super().run(context)
        return Content(diverged=Divergence(step=1, loss="a/b", value="nan"))


class Timed(Task):
    """One that measures times."""

    alone: ClassVar[bool] = True


def runs(folder: Path) -> list[str]:
    """Names of what ran, sorted."""
    return sorted(path.name.partition("-")[0] for path in folder.iterdir())
