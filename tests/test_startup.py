"""What starting up must not import: it is what most commands wait for."""

import subprocess
import sys

HEAVY = ("lightning", "torchmetrics", "timm", "scipy", "h5py", "matplotlib")


def test_what_only_describes_and_reads_imports_nothing_to_compute_with():
    code = f"import sys, mtlkit.engine, mtlkit.report.side_by_side; print([x for x in {HEAVY} if x in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
