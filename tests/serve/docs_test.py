"""Every curl command of docs/serve.md runs and is answered."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from harness import Server, check, finish

if not shutil.which("curl"):
    print("skipped: there is no curl")
    sys.exit(77)
text = (Path(__file__).parents[2] / "docs" / "serve.md").read_text()
blocks = "\n".join(re.findall(r"^```sh\n(.*?)^```", text, re.S | re.M))
commands = [c for c in re.split(r"\n(?=curl |stepstone )", blocks) if c.startswith("curl ")]
check(len(commands) >= 10, f"only {len(commands)} commands")
with Server() as server:
    for command in commands:
        here = command.replace("http://127.0.0.1:8080", server.url)
        done = subprocess.run(["bash", "-c", here.replace("curl ", "curl --fail ", 1)], check=False,
                              capture_output=True, text=True, timeout=60)
        check(done.returncode == 0 and done.stdout, f"{command}\n{done.stdout}{done.stderr}")
finish(f"{len(commands)} commands of docs/serve.md ran")
