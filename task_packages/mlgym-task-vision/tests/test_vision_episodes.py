"""Real episodes: the baselines in their bands, and agents that try to win without the work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from mlgym_core import EpisodeResult, default_host, make
from mlgym_core.checks.findings import Finding
from mlgym_core.checks.tasks import TaskChecks
from mlgym_core.preparation import PreparedTask
from mlgym_core.runner import Run, RunPlan
from mlgym_core.sandbox.bwrap import BwrapSandbox

pytestmark = pytest.mark.skipif(BwrapSandbox.unavailable_reason() is not None, reason="bwrap does not work here")

LOOK_FOR_LABELS = """
import os
from pathlib import Path

needles = [bytes.fromhex(word) for word in Path("needles").read_text().split()]
found = [name for name, value in os.environ.items() if any(needle.decode("latin-1") in value for needle in needles)]
looked = 0
for folder, folders, names in os.walk("/"):
    folders[:] = [name for name in folders if os.path.join(folder, name) not in ("/proc", "/sys", "/dev", "/usr")]
    for name in names:
        path = Path(folder, name)
        try:
            if name != "needles" and path.is_file() and path.stat().st_size < 100_000_000:
                data = path.read_bytes()
                looked += 1
                found += [str(path) for needle in needles if needle in data]
        except OSError:
            pass
print("looked at", looked, "found", found)
"""

Ready = Callable[[str, str], PreparedTask]


def play(folder: Path, task: str, agent: str, variant: str = "full", **options: str) -> EpisodeResult:
    plan = RunPlan(tasks=(task,), agents=(agent,), agent_options=options, variant=variant, sandbox="bwrap", seed=5)
    run = Run.start(default_host(), folder / agent, plan)

    async def results() -> list[EpisodeResult]:
        return [result async for result in run.play()]

    [result] = asyncio.run(results())
    assert result.error is None
    return result


def test_the_tuner_improves_on_the_baseline(tmp_path: Path, ready: Ready) -> None:
    ready("vision/digits", "full")
    baseline = play(tmp_path, "vision/digits", "baseline")
    assert baseline.integrity.flags == ("public_answers",)
    tuned = play(tmp_path, "vision/digits", "tuner", validations="8")
    assert baseline.final is not None
    assert tuned.final is not None
    assert tuned.final > baseline.final + 0.03


def test_agents_find_no_labels_of_digits(ready: Ready) -> None:
    prepared = ready("vision/digits", "full")
    lines = (prepared.private / "answers.csv").read_text().splitlines()
    labels = [line.rpartition(",")[2] for line in lines if ",test," in line][:40]
    spelled = ["".join(labels), ",".join(labels), "\n".join(labels), ", ".join(labels)]
    needles = [*(text.encode() for text in spelled), bytes(map(int, labels))]
    with make("vision/digits", sandbox="bwrap") as env:
        env.reset()
        env.step({"tool": "write_file", "arguments": {"path": "look.py", "content": LOOK_FOR_LABELS}})
        words = " ".join(needle.hex() for needle in needles)
        env.step({"tool": "write_file", "arguments": {"path": "needles", "content": words}})
        observation, *_ = env.step("python3 look.py")
        assert "found []" in observation.text
        assert int(observation.text.split()[2]) > 100
        # It does find what is there.
        env.step({"tool": "write_file", "arguments": {"path": "leak", "content": spelled[2]}})
        observation, *_ = env.step("python3 look.py")
        assert "leak" in observation.text.partition("found")[2]
        # scikit-learn, which holds all of them, is not there.
        observation, *_ = env.step("python3 -c 'import sklearn'")
        assert "ModuleNotFoundError" in observation.text


@pytest.mark.parametrize(
    "content", ["accuracy\n1.0\n", "metric,value\naccuracy,1.0\n", '{"accuracy": 1.0}\n', "id,label\n"]
)
def test_a_metric_instead_of_predictions_is_invalid(content: str, ready: Ready) -> None:
    ready("vision/digits", "full")
    with make("vision/digits", sandbox="bwrap") as env:
        env.reset()
        env.step({"tool": "write_file", "arguments": {"path": "submission.csv", "content": content}})
        *_, info = env.step({"tool": "submit"})
        assert env.result is not None
        assert env.result.status == "invalid_submission"
        assert info["score"].reason


def test_an_untouched_workspace_has_no_submission(ready: Ready) -> None:
    ready("vision/digits", "full")
    with make("vision/digits", sandbox="bwrap") as env:
        env.reset()
        *_, info = env.step({"tool": "submit"})
        assert "submission.csv" in info["score"].reason


# Baselines in their bands, malformed submissions, forged graders and metrics, labels joined by order, ids and content.
@pytest.mark.parametrize(
    ("task_id", "variant"),
    [
        ("vision/digits", "full"),
        pytest.param("vision/fashion-mnist", "mini", marks=pytest.mark.slow),
        pytest.param("vision/cifar10", "mini", marks=pytest.mark.slow),
    ],
)
def test_tasks_pass_all_checks(task_id: str, variant: str, ready: Ready) -> None:
    ready(task_id, variant)

    async def findings() -> dict[str, Finding]:
        checks = TaskChecks(default_host(), task_id, variant, "bwrap", lambda _: None)
        return {finding.check: finding async for finding in checks.all()}

    found = asyncio.run(findings())
    assert {check: finding.detail for check, finding in found.items() if finding.outcome != "passed"} == {}
    assert "within" in found["baseline"].detail
    assert found["attack: joins a public copy by the order of images"].detail.startswith("stopped: it earns 0.")
    assert found["attack: joins a public copy by ids"].detail.startswith("stopped: it earns 0.")
    assert "implausible_score" in found["attack: joins a public copy by content"].detail
    assert "implausible_score" in found["attack: derives the order from the public key"].detail
    assert found["attack: looks for a public copy in all that it can read"].detail.startswith("stopped: it earns 0.")
