"""What starting up must not import: it is what most commands wait for."""

import signal
import subprocess
import sys

HEAVY = ("lightning", "torchmetrics", "timm", "scipy", "h5py", "matplotlib")


def test_what_only_describes_and_reads_imports_nothing_to_compute_with():
    code = f"import sys, mtlkit.engine, mtlkit.report.side_by_side; print([x for x in {HEAVY} if x in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


INTERRUPTED = """
import importlib.abc, os, signal, sys, time

class Interrupt(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "mtlkit.cli":
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(60)

from mtlkit.__main__ import main
sys.meta_path.insert(0, Interrupt())
main()
"""


def test_ctrl_c_while_the_command_is_imported_is_no_traceback():
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (128 + signal.SIGINT, "", "Stopped by Ctrl-C.\n")


def test_the_handlers_of_the_process_are_its_own_again(monkeypatch):
    from mtlkit.__main__ import main

    seen = []
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr("mtlkit.cli.main", lambda: seen.append(signal.getsignal(signal.SIGINT)))
    main()
    assert signal.getsignal(signal.SIGINT) == before
    assert seen != [before]
