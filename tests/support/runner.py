"""A runner in a process of its own: something that can be killed, and whose keys and terminal can be its own.

`runner.py SANDBOX RUNS_FOLDER` begins an episode of a small task. Each line of its input is a JSON action; for each it
prints the observation's text as a line of JSON. It ends at the end of its input.
"""

from __future__ import annotations

import json
import sys

from example_plugin import ExamplePlugin

from mlgym_core import Host, make, making
from mlgym_sandbox_docker import plugin as docker_plugin

HOST = Host.of(ExamplePlugin(), docker_plugin)


def use_examples() -> None:
    """Make the small tasks the ones that are installed, as far as `make` is concerned."""
    making.__dict__["default_host"] = lambda: HOST


def main(sandbox: str, runs_folder: str) -> None:
    """Run the episode."""
    use_examples()
    with make("examples/number", sandbox=sandbox, action_timeout=60, max_steps=100, runs_dir=runs_folder) as env:
        env.reset()
        print(json.dumps("begun"), flush=True)
        for line in sys.stdin:
            print(json.dumps(env.step(json.loads(line))[0].text), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
