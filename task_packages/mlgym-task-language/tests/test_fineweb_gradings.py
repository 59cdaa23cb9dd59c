"""Models in real sandboxes: honest ones, broken ones, and those that try to win without predicting.

Each attack on the grader first runs against a naive one, where it must work, so that a test which has lost its teeth
fails.
"""

from __future__ import annotations

import asyncio
import math
import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mlgym_core import DataError, Score, default_host, make
from mlgym_core.builtin.tuner import declared_parameters
from mlgym_core.grading.grader import GradingOrder, grade_submission
from mlgym_core.preparation import PreparedTask, prepare_task
from mlgym_core.sandbox.bwrap import BwrapSandbox
from mlgym_core.testing import LocalGrading
from mlgym_task_language.fineweb import FineWeb

PACKAGE = Path(__file__).parents[1] / "src" / "mlgym_task_language"
TASK = "language/fineweb"
EVEN_LOSS = math.log(2048)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BwrapSandbox.unavailable_reason() is not None, reason="bwrap does not work here"),
]

EVEN = """
import base64
import numpy as np

def begin(sequences, length, vocabulary):
    global SHAPE, STEP
    SHAPE, STEP = (sequences, vocabulary), 0

def predict(tokens):
    global STEP
    STEP += 1
    rows = np.full(SHAPE, -np.log(SHAPE[1]), "<f4")
    return base64.b64encode(change(rows, STEP).tobytes()).decode()
"""
"""A model that believes in all tokens alike. What it answers can be changed."""


@pytest.fixture(scope="session")
def ready() -> PreparedTask:
    """The task, with what its sandboxes need."""
    try:
        return prepare_task(default_host(), TASK, "mini")
    except DataError as error:
        pytest.skip(str(error))


def submission(folder: Path, change: str = "    return rows", *, weights: bytes = b"none") -> Path:
    """Write a model whose answers are changed as a function's body says, which has `rows` and `step`."""
    folder.mkdir(exist_ok=True)
    (folder / "model.py").write_text(f"{EVEN}\ndef change(rows, step):\n{change}\n", encoding="utf-8")
    (folder / "weights.safetensors").write_bytes(weights)
    return folder


def graded(ready: PreparedTask, folder: Path) -> Score:
    """Return the score of a submission folder, graded for real."""
    return asyncio.run(grade_submission(ready, folder, BwrapSandbox, GradingOrder("test", "strict", seed=3)))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("    rows[3, 17] = np.nan; return rows", "nan for token 17 of sequence 3; expected the logarithm"),
        ("    return rows[:, :-1]", "262,016 bytes; expected 262,144"),
        ("    return rows.astype('<f8')", "predict returned more than 350,549 bytes"),
        ("    return rows + np.log(np.float32(1.01))", "whose sum has the logarithm 0.00995"),
        ("    return rows * 0", "whose sum has the logarithm 7.62462; expected 0 within 0.001"),
        ("    raise ValueError('no idea')", "predict raised ValueError: no idea (line 16 of model.py)"),
        ("    import os; os._exit(3)", "predict ended its process"),
        ("    return step", "predict raised AttributeError"),
    ],
)
def test_broken_models_are_invalid_and_say_why(change: str, reason: str, tmp_path: Path, ready: PreparedTask) -> None:
    score = graded(ready, submission(tmp_path / "submission", change))
    assert not score.valid
    assert reason in str(score.reason)


def test_a_model_that_answers_slowly_is_told_so(tmp_path: Path, ready: PreparedTask) -> None:
    # What a grader's process calls with is the variant's; waiting for a minute here would tell nothing more.
    folder = submission(tmp_path / "submission", "    import time; time.sleep(100); return rows")
    source = (PACKAGE / "fineweb_variants.py").read_text(encoding="utf-8")
    assert "call_seconds=60.0" in source
    package = tmp_path / "mlgym_task_language"
    package.mkdir()
    for path in PACKAGE.glob("*.py"):
        (package / path.name).write_bytes(path.read_bytes())
    (package / "fineweb_variants.py").write_text(
        source.replace("call_seconds=60.0", "call_seconds=2.0"), encoding="utf-8"
    )
    hasty = PreparedTask(**{**vars(ready), "package": package})
    score = graded(hasty, folder)
    assert not score.valid
    assert score.reason == "predict took longer than 2 s."


def test_too_much_belief_is_worth_nothing(tmp_path: Path, ready: PreparedTask) -> None:
    score = graded(ready, submission(tmp_path / "submission", "    return rows + np.float32(0.0009)"))
    assert score.valid, score.reason
    assert score.value == pytest.approx(EVEN_LOSS, abs=1e-5)


PICKLE = """
    global LOADED
    if step == 1:
        import pickle
        from pathlib import Path
        LOADED = pickle.loads(Path(__file__).with_name("weights.safetensors").read_bytes())
    return rows
"""


def test_weights_that_are_a_pickle_run_code_where_it_does_no_harm(tmp_path: Path, ready: PreparedTask) -> None:
    program = (
        "import os, pathlib\n"
        "for name in ('/private', '/opt/code', '/submission', '/opt/runtime'):\n"
        "    for path in pathlib.Path(name).rglob('*'):\n"
        "        try: path.write_bytes(b'')\n"
        "        except OSError: pass\n"
        "    try: pathlib.Path(name, 'here').write_text('pickle')\n"
        "    except OSError: pass\n"
        "pathlib.Path('/tmp/ran').write_text('it ran')\n"
    )
    # A pickle of protocol 0 that calls `exec`.
    weights = b"cbuiltins\nexec\n(V" + program.encode("raw_unicode_escape").replace(b"\n", b"\\u000a") + b"\ntR."
    folder = submission(tmp_path / "submission", PICKLE, weights=weights)
    before = {path: path.read_bytes() for path in (*folder.iterdir(), *ready.private.iterdir())}
    score = graded(ready, folder)
    assert score.valid, score.reason
    assert score.value == pytest.approx(EVEN_LOSS, abs=1e-5)
    assert {path: path.read_bytes() for path in before} == before
    # It did run: the same pickle leaves its mark where a model looks for it.
    mark = PICKLE.replace("return rows", "raise ValueError(Path('/tmp/ran').read_text())")
    assert "ValueError: it ran" in str(graded(ready, submission(folder, mark, weights=weights)).reason)


def test_the_starter_s_reader_refuses_a_pickle(tmp_path: Path, ready: PreparedTask) -> None:
    folder = submission(tmp_path / "submission", weights=b"cbuiltins\nexec\n(Vraise SystemExit\ntR.")
    (folder / "model.py").write_bytes((ready.public / "model.py").read_bytes())
    assert "begin raised SafetensorError" in str(graded(ready, folder).reason)


def test_weights_of_fifty_gigabytes_are_refused() -> None:
    with make(TASK, variant="mini", sandbox="bwrap") as env:
        env.reset()
        env.step("truncate -s 50G weights.safetensors && ls -l weights.safetensors")
        *_, info = env.step({"tool": "submit"})
    assert env.result is not None
    assert env.result.status == "invalid_submission"
    assert "weights.safetensors" in info["score"].reason


# ------------------------------------------------------------------------------------------- attacks


def written_by(attack: str, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run an attack where it would run, and return what it submits."""
    workspace.mkdir()
    monkeypatch.chdir(workspace)
    runpy.run_path(str(PACKAGE / "attacks" / f"{attack}.py"), run_name="__main__")
    return workspace


@pytest.mark.parametrize(("attack", "loss"), [("fineweb_peek", -math.log(0.999)), ("fineweb_unnormalised", 0.0)])
def test_the_task_s_attacks_have_teeth(
    attack: str, loss: float, tmp_path: Path, ready: PreparedTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = written_by(attack, tmp_path / "workspace", monkeypatch)
    tokens = tmp_path / "tokens.npy"
    np.save(tokens, np.random.default_rng(1).integers(0, 49, (4, 33)))
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("naive_fineweb_grader.py")), str(folder), str(tokens), "50"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
    )
    said, probe = done.stdout.splitlines()
    assert float(said.split()[1]) == pytest.approx(loss, abs=1e-3)
    assert probe == "the same"


@pytest.mark.parametrize("attack", ["fineweb_peek", "fineweb_unnormalised"])
def test_the_task_s_attacks_earn_nothing_here(
    attack: str, tmp_path: Path, ready: PreparedTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    score = graded(ready, written_by(attack, tmp_path / "workspace", monkeypatch))
    baseline = FineWeb("mini").anchors("test").baseline
    assert not score.valid or float(score.value or 0) > baseline


def test_recited_texts_are_flagged(tmp_path: Path, ready: PreparedTask) -> None:
    task = FineWeb("mini")
    texts = np.load(ready.private / "test.npy")
    for share, flags in ((0.05, []), (0.5, ["memorised_text"])):
        folder = tmp_path / str(share)
        folder.mkdir()
        assert task.oracle(ready.private, "test", 1.0, folder)
        known = texts.copy()
        known[round(share * len(texts)) :] = 0
        with (folder / "weights.safetensors").open("wb") as file:
            np.save(file, known)
        grading = LocalGrading(folder, private=ready.private, variant="mini")
        task.grade(grading)
        assert grading.flags == flags


# ------------------------------------------------------------------------------------------- workspace


@pytest.mark.parametrize("variant", ["full", "mini"])
def test_the_description_states_what_is_graded(variant: str) -> None:
    task = FineWeb(variant)
    text = task.description()
    settings = task.settings[variant]
    for words in (
        f"begin({settings.sequences}, {settings.length:,}, vocabulary)",
        f"about {settings.anchors['test'].baseline:g}",
        f"{settings.weights_bytes >> 20:,} MiB",
        f"{settings.total_seconds:,g} seconds",
    ):
        assert words in text
    assert "{" not in text


def test_the_starter_declares_parameters(ready: PreparedTask) -> None:
    parameters = {
        parameter.name: parameter for parameter in declared_parameters((ready.public / "train.py").read_text())
    }
    assert {"STEPS", "LAYERS", "WIDTH", "HEADS", "LEARNING_RATE"} <= set(parameters)
    for parameter in parameters.values():
        assert parameter.low <= float(parameter.value) <= parameter.high


def test_what_is_tried_in_the_workspace_is_what_is_graded() -> None:
    with make(TASK, variant="mini", sandbox="bwrap") as env:
        env.reset()
        env.step("sed -i 's/^STEPS = .*/STEPS = 2/; s/^WIDTH = .*/WIDTH = 64/' train.py")
        trained, *_ = env.step("python3 train.py")
        assert trained.exit_code == 0, trained.text
        observation, *_ = env.step("python3 try_it.py")
        tried = float(observation.text.partition("val_loss: ")[2].split()[0])
        *_, info = env.step({"tool": "submit"})
    # Other documents, of the same kind. After two steps a model knows little more than how often tokens occur.
    assert tried == pytest.approx(info["score"].value, abs=0.3)
    assert tried < EVEN_LOSS
