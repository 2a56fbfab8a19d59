"""The columns of a campaign on another machine with a GPU: packs what they read, runs for some minutes, leaves records.

python benchmarks/gpu_campaign.py pack                    what results/gpu.toml reads, into build/gpu
python benchmarks/gpu_campaign.py run --minutes 12        there: what ends in that time, records in build/gpu/records
"""

import argparse
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIMIT = 60
"""MiB that may travel."""


def read_by(campaign: Path) -> dict[str, Path]:
    """What the columns name behind a variable, such as ``data/nyuv2-small``, and where it lies."""
    text = campaign.read_text(encoding="utf-8")
    variables = tomllib.loads(text)["variables"]
    named = sorted(set(re.findall(r'"\$(\w+)/([^"]+)"', text)))
    return {f"{name}/{rest}": (campaign.parent / variables[name] / rest).resolve() for name, rest in named}


def pack(campaign: Path, folder: Path, limit: float) -> None:
    """Copies what the campaign reads; exits with a sentence where something is missing or the whole is too large."""
    found = read_by(campaign)
    if missing := [str(path) for path in found.values() if not path.exists()]:
        sys.exit(f"{campaign} reads {', '.join(missing)}, which is not there.")
    sizes = {
        name: sum(file.stat().st_size for file in [path, *path.rglob("*")] if file.is_file()) / 2**20
        for name, path in found.items()
    }
    told = ", ".join(f"{name} {size:.1f}" for name, size in sizes.items())
    if sum(sizes.values()) > limit:
        sys.exit(f"{campaign} reads {sum(sizes.values()):.1f} MiB ({told}), more than {limit:g}; take columns out.")
    for name, path in found.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(path, target, dirs_exist_ok=True) if path.is_dir() else shutil.copyfile(path, target)
    print(f"{folder}: {sum(sizes.values()):.1f} MiB ({told})")


def run(campaign: Path, folder: Path, records: Path, minutes: float, device: str) -> int:
    """Runs what is missing, one seed of a table before the next, and ends by itself."""
    names = {name.partition("/")[0] for name in read_by(campaign)}
    variables = [word for name in sorted(names) for word in ("--set", f"{name}={folder / name}")]
    places = ["--results-dir", str(records), "--minutes", str(minutes), "--device", device, "--seed-major"]
    command = [sys.executable, "-m", "mtlkit.cli", "work", str(campaign), *variables, *places]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def main(given: list[str] | None = None) -> int:
    """Packs or runs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=["pack", "run"])
    parser.add_argument("--campaign", type=Path, default=ROOT / "results" / "gpu.toml")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "gpu", help="where data and weights travel")
    parser.add_argument("--records", type=Path, help="by default beside them")
    parser.add_argument("--minutes", type=float, default=12, help="take nothing that will not end in this time")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--limit", type=float, default=LIMIT, help="MiB that may travel")
    options = parser.parse_args(given)
    if options.what == "pack":
        pack(options.campaign, options.folder, options.limit)
        return 0
    records = options.records or options.folder / "records"
    return run(options.campaign, options.folder, records, options.minutes, options.device)


if __name__ == "__main__":
    sys.exit(main())
