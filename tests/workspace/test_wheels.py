"""The wheels work by themselves, in an environment and a folder that know nothing of this repository."""

from __future__ import annotations

import json
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from clean_run import run
from uv import find_uv_bin

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "mlgym_core": ROOT / "mlgym_core",
    **{path.parent.name: path.parent for path in ROOT.glob("*/mlgym-*/src/mlgym_*/__init__.py")},
}

# One worker builds the wheels once for all tests of this module.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.xdist_group("wheels")]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheel of every distribution, by the name of its package, each built from its source distribution."""
    folder = tmp_path_factory.mktemp("wheels")
    run([find_uv_bin(), "build", "--quiet", "--all-packages", "--out-dir", str(folder)], ROOT)
    return {wheel.name.partition("-")[0]: wheel for wheel in folder.glob("*.whl")}


def test_every_distribution_is_built(wheels: dict[str, Path]) -> None:
    assert wheels.keys() == PACKAGES.keys()


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_a_wheel_holds_the_package_and_the_licence_and_nothing_else(package: str, wheels: dict[str, Path]) -> None:
    with zipfile.ZipFile(wheels[package]) as archive:
        names = set(archive.namelist())
        metadata_folder = next(name.partition("/")[0] for name in names if ".dist-info/" in name)
        metadata = Parser().parsestr(archive.read(f"{metadata_folder}/METADATA").decode())
    assert {name.partition("/")[0] for name in names} == {package, metadata_folder}
    assert {f"{package}/__init__.py", f"{package}/py.typed", f"{metadata_folder}/licenses/LICENSE"} <= names
    sources = {f"{package}/{path.relative_to(PACKAGES[package])}" for path in PACKAGES[package].rglob("*.py")}
    assert sources <= names
    assert metadata["License-Expression"] == "Apache-2.0"


def test_an_episode_runs_from_the_wheels_alone(wheels: dict[str, Path], tmp_path: Path) -> None:
    environment, empty = tmp_path / "environment", tmp_path / "empty"
    empty.mkdir()
    run([sys.executable, "-m", "venv", str(environment)], tmp_path)
    binaries = environment / "bin"
    constraints = ["--constraint", str(ROOT / "constraints.txt")]
    core_and_games = [str(wheels["mlgym_core"]), str(wheels["mlgym_task_games"])]
    run([str(binaries / "python"), "-m", "pip", "install", "--quiet", *constraints, *core_and_games], tmp_path)

    command = [str(binaries / "mlgym"), "run", "games/blotto", "--agent", "baseline"]
    run(command, empty, MLGYM_CACHE_DIR=str(tmp_path / "cache"))

    [result] = empty.glob("runs/*/episodes/*/episode.json")
    episode = json.loads(result.read_text(encoding="utf-8"))
    assert (episode["task"], episode["status"]) == ("games/blotto", "completed")
    assert episode["score"]["valid"]
