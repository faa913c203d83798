"""What the scripts that run an anchor and Stepstone in one run share."""

import json
import os
import pathlib
import subprocess
import sys

BENCH = pathlib.Path(__file__).resolve().parent
ROOT = BENCH.parent


def add_options(parser):
    parser.add_argument("--stepstone", default=str(ROOT / "build/release/stepstone"), metavar="PATH")
    parser.add_argument("--venv", default=str(ROOT / "build/anchor-venv"), metavar="DIR",
                        help="virtual environment for the anchor; made when it is not there")  # fmt: skip
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", metavar="FILE", help="write everything measured as one JSON object")


def anchor_python(venv, *packages):
    """The python of the virtual environment `venv`, which is made with `packages` when it is not there."""
    python = pathlib.Path(venv) / "bin/python"
    if not python.exists():
        print(f"making the virtual environment {venv} (PyTorch: some gigabytes)", file=sys.stderr, flush=True)
        subprocess.run([BENCH / "venv.sh", venv, *packages], check=True, stdout=subprocess.DEVNULL)
    return str(python)


def run(command, **options):
    """Runs `command`; its standard error stays visible. Ends the program where the command fails."""
    print("+ " + " ".join(map(str, command)), file=sys.stderr, flush=True)
    done = subprocess.run(command, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"{command[0]}: exit status {done.returncode}")
    return done.stdout


def stepstone_environment(threads):
    return {**os.environ, "OMP_NUM_THREADS": str(threads)}


def processor():
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def write_json(path, result):
    if path:
        pathlib.Path(path).write_text(json.dumps(result, indent=2) + "\n")
