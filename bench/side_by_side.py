"""What the scripts that run an anchor and Stepstone in one run share."""

import json
import os
import pathlib
import subprocess
import sys
import time

BENCH = pathlib.Path(__file__).resolve().parent
ROOT = BENCH.parent


def add_options(parser):
    parser.add_argument("--stepstone", default=str(ROOT / "build/release/stepstone"), metavar="PATH")
    parser.add_argument("--venv", default=str(ROOT / "build/anchor-venv"), metavar="DIR",
                        help="virtual environment for the anchor; made when it is not there")  # fmt: skip
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", metavar="FILE", help="write everything measured as one JSON object")


def require_files(parser, *paths):
    for path in paths:
        if not pathlib.Path(path).is_file():
            parser.error(f"no such file: {path}")


def load_before():
    """The load average. PyTorch's threads spin while they wait: beside another busy program they slow down manyfold."""
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"warning: load average {load:.1f}: other programs run, which distorts the ratios", file=sys.stderr)
    return load


def anchor_python(venv, *packages):
    """The python of the virtual environment `venv`, made or completed with `packages` where one is missing."""
    python = pathlib.Path(venv) / "bin/python"
    have_all = [python, "-c", "import " + ", ".join(packages)]
    if not python.exists() or subprocess.run(have_all, stderr=subprocess.DEVNULL).returncode != 0:
        print(f"installing {', '.join(packages)} into {venv} (PyTorch: some gigabytes)", file=sys.stderr, flush=True)
        subprocess.run([BENCH / "venv.sh", venv, *packages], check=True, stdout=subprocess.DEVNULL)
    return str(python)


def run(command, **options):
    """(standard output, seconds of the whole process). Its standard error stays visible; a failure ends the program."""
    command = [str(word) for word in command]
    print("+ " + " ".join(command), file=sys.stderr, flush=True)
    start = time.perf_counter()
    done = subprocess.run(command, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"{command[0]}: exit status {done.returncode}")
    return done.stdout, time.perf_counter() - start


def stepstone_environment(threads):
    return {**os.environ, "OMP_NUM_THREADS": str(threads)}


def processor():
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def write_json(path, result):
    if path:
        pathlib.Path(path).write_text(json.dumps(result, indent=2) + "\n")
