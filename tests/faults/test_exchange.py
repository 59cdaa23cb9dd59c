"""What processes of one machine share besides files: nothing of it leads into a sandbox, nor from one to another.

The same program looks for the same things in sandbox `process`, where it must find them, or the test has no teeth.
"""

from __future__ import annotations

import inspect
import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

import exchange
import pytest
from exchange import CHANNELS

pytestmark = pytest.mark.xdist_group("exchange")  # so that what was found is found once

Found = dict[str, list[str]]

# In a process of its own, which has a keyring of its session as after a login. An episode and another, at once.
RUNNER = """
import json, os, signal, subprocess, sys
from pathlib import Path
import exchange, runner
from inside import output
from mlgym_core import make

sandbox, word = sys.argv[1:]
runner.use_examples()
program = Path(exchange.__file__).read_text()
found = {}
exchange.join_new_session()
host = subprocess.Popen([sys.executable, exchange.__file__, "leave", word], stdout=-3, start_new_session=True)
host.wait()
try:
    with make("examples/number", sandbox=sandbox) as first, make("examples/number", sandbox=sandbox) as second:
        for env in (first, second):
            env.reset()
            output(env, f"cat > exchange.py <<'END'\\n{program}\\nEND")
        found["of the host"] = json.loads(output(first, f"python3 exchange.py look {word}"))
        output(first, f"python3 exchange.py leave {word}-2")
        found["of another"] = json.loads(output(second, f"python3 exchange.py look {word}-2"))
        output(first, f"python3 exchange.py remove {word}-2")
finally:
    os.killpg(host.pid, signal.SIGKILL)
    exchange.remove(word)
print(json.dumps(found))
"""


def run(sandbox: str) -> Found:
    """Return the channels in which a first episode finds what the host left, and a second what the first one left."""
    word = f"mlgym-{os.getpid()}-{secrets.token_hex(4)}"
    path = os.pathsep.join([str(Path(inspect.getfile(exchange)).parent), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", RUNNER, sandbox, word],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
        start_new_session=True,
    )
    assert done.returncode == 0, done.stderr
    found: Found = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def known() -> dict[str, Found]:
    """What was found, by sandbox."""
    return {}


@pytest.fixture
def found(known: dict[str, Found], isolated_sandbox: str) -> Found:
    """What was found in a sandbox."""
    if isolated_sandbox not in known:
        known[isolated_sandbox] = run(isolated_sandbox)
    return known[isolated_sandbox]


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("origin", ["of the host", "of another"])
def test_no_channel_leads_in(origin: str, channel: str, found: Found) -> None:
    assert channel not in found[origin]


def test_all_channels_lead_in_where_nothing_isolates() -> None:
    found = run("process")
    # Not every kernel has sockets of virtual machines, or version 6 of the protocol.
    certain = set(CHANNELS) - {"socket of virtual machines", "loopback of version 6"}
    assert set(found["of the host"]) >= certain
    assert set(found["of another"]) >= certain
