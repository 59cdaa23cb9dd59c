"""The attacks as programs: they must succeed where there is something to be had, or they would prove nothing."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from mlgym_core import make
from mlgym_core.preparation import PreparedTask
from mlgym_core.sandbox import bwrap
from mlgym_core.sandbox.bwrap import BwrapSandbox
from mlgym_task_vision import classification
from mlgym_task_vision.digits import Digits

ATTACKS = Path(classification.__file__).parent / "attacks"
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
COUNT = 300

Prepared = Callable[..., Path]
ContentOf = Callable[[str, str], Path]
Grade = Callable[..., tuple[float, list[str]]]
Write = Callable[[Path, np.ndarray, np.ndarray], object]


def attack(name: str, workspace: Path, *arguments: str) -> str:
    """Run an attack's program in a workspace, and return what it prints."""
    command = [sys.executable, str(ATTACKS / name), *arguments]
    return subprocess.run(command, cwd=workspace, capture_output=True, text=True, check=True).stdout


def workspace_of(folder: Path, prepared: Path) -> Path:
    return Path(shutil.copytree(prepared / "public", folder / "workspace"))


# ---------------------------------------------------------------------------------- looking for a copy


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape) + array.tobytes()


def write_idx(folder: Path, images: np.ndarray, labels: np.ndarray, compress: Callable[[bytes], bytes] = bytes) -> None:
    (folder / "t10k-images-idx3-ubyte").write_bytes(compress(idx(images)))
    (folder / "t10k-labels-idx1-ubyte").write_bytes(compress(idx(labels)))
    # Other labels, which must not be taken for them.
    (folder / "train-labels-idx1-ubyte").write_bytes(compress(idx(np.tile(labels, 6))))


def write_npy(folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
    (folder / "x.npy").write_bytes(npy(images))
    (folder / "y.npy").write_bytes(npy(labels.astype(np.int64)))


def write_npz(folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
    np.savez_compressed(folder / "both.npz", x=images, y=labels)


def write_zipped_idx(folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
    with zipfile.ZipFile(folder / "archive.zip", "w") as archive:
        archive.writestr("images.gz", gzip.compress(idx(images)))
        archive.writestr("labels.gz", gzip.compress(idx(labels)))


def cifar(images: np.ndarray, labels: np.ndarray) -> bytes:
    planes = images.transpose(0, 3, 1, 2)
    return b"".join(bytes([label]) + image.tobytes() for label, image in zip(labels, planes, strict=True))


def write_cifar(folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
    (folder / "test_batch.bin").write_bytes(cifar(images, labels))


def write_cifar_archive(folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
    data = cifar(images, labels)
    with tarfile.open(folder / "cifar.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo("batches/test_batch.bin")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))


def write_csv(folder: Path, images: np.ndarray, labels: np.ndarray, label_first: bool = False) -> None:
    lines = []
    for image, label in zip(images, labels, strict=True):
        pixels = ",".join(map(str, image.tobytes()))
        lines.append(f"{label},{pixels}\n" if label_first else f"{pixels},{label}\n")
    (folder / "table.csv.gz").write_bytes(gzip.compress("".join(lines).encode()))


@pytest.mark.parametrize(
    ("shape", "write"),
    [
        ((28, 28), write_idx),
        ((28, 28), partial(write_idx, compress=gzip.compress)),
        ((28, 28), partial(write_idx, compress=bz2.compress)),
        ((28, 28), partial(write_idx, compress=lzma.compress)),
        ((28, 28), write_zipped_idx),
        ((28, 28), write_npy),
        ((8, 8), write_npy),
        ((28, 28), write_npz),
        ((32, 32, 3), write_npy),
        ((32, 32, 3), write_cifar),
        ((32, 32, 3), write_cifar_archive),
        ((8, 8), write_csv),
        ((28, 28), partial(write_csv, label_first=True)),
    ],
)
def test_copies_in_many_forms_are_found(shape: tuple[int, ...], write: Write, tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    images = random.integers(0, 256, (COUNT, *shape), dtype=np.uint8)
    labels = random.integers(0, 10, COUNT, dtype=np.uint8)
    workspace, elsewhere = tmp_path / "workspace", tmp_path / "elsewhere"
    for folder in (workspace, elsewhere):
        folder.mkdir()
    chosen = random.permutation(COUNT)[: COUNT // 2]
    np.save(workspace / "test_images.npy", images[chosen])
    (workspace / "test.csv").write_text("id\n" + "".join(f"{place + 50}\n" for place in range(len(chosen))))

    # Its own images, and other files, are no copy.
    (elsewhere / "noise").write_bytes(random.bytes(300_000))
    said = attack("search.py", workspace, str(tmp_path))
    assert f"found 0 of {len(chosen)} labels" in said
    assert "found a copy" not in said
    constant = "".join(f"{place + 50},0\n" for place in range(len(chosen)))
    assert (workspace / "submission.csv").read_text() == f"id,label\n{constant}"

    write(elsewhere, images, labels)
    assert f"found {len(chosen)} of {len(chosen)} labels" in attack("search.py", workspace, str(tmp_path))
    right = "".join(f"{place + 50},{labels[row]}\n" for place, row in enumerate(chosen))
    assert (workspace / "submission.csv").read_text() == f"id,label\n{right}"


def test_broken_archives_and_unreadable_files_do_not_end_the_search(tmp_path: Path) -> None:
    images = np.random.default_rng(4).integers(0, 256, (COUNT, 28, 28), dtype=np.uint8)
    labels = np.arange(COUNT, dtype=np.uint8) % 10
    np.save(tmp_path / "test_images.npy", images)
    (tmp_path / "test.csv").write_text("id\n" + "".join(f"{place}\n" for place in range(COUNT)))
    folder = tmp_path / "folder"
    folder.mkdir()
    noise = os.urandom(100_000)
    for number, start in enumerate((b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ\0", b"PK\x03\x04", noise[:257] + b"ustar")):
        (folder / f"data{number}").write_bytes(start + noise)
        (folder / f"cut{number}").write_bytes(gzip.compress(noise)[: 60_000 + number])
    (folder / "data.link").symlink_to("nowhere")
    os.mkfifo(folder / "data.pipe")
    write_idx(folder, images, labels)
    assert f"found {COUNT} of {COUNT} labels" in attack("search.py", tmp_path, str(folder))


@pytest.mark.parametrize("variant", ["mini", "full"])
def test_fashion_mnist_is_found_where_debian_puts_it(
    variant: str, tmp_path: Path, prepared: Prepared, grade: Grade
) -> None:
    if not DEBIAN.is_dir():
        pytest.skip(f"There is no {DEBIAN}.")
    workspace = workspace_of(tmp_path, prepared("vision/fashion-mnist", variant))
    assert f"found a copy in {DEBIAN}/t10k-images-idx3-ubyte.gz" in attack("search.py", workspace, str(DEBIAN))
    accuracy, flags = grade("vision/fashion-mnist", (workspace / "submission.csv").read_bytes(), variant=variant)
    assert (accuracy, flags) == (1, ["memorised_answers"])


@pytest.mark.skipif(BwrapSandbox.unavailable_reason() is not None, reason="bwrap does not work here")
def test_a_copy_is_found_in_a_sandbox_that_shows_one(
    ready: Callable[[str, str], PreparedTask], content_of: ContentOf
) -> None:
    ready("vision/digits", "full")
    folder = content_of("vision/digits", "digits")
    with make("vision/digits", sandbox="bwrap") as env:
        env.reset()
        program = (ATTACKS / "search.py").read_text()
        env.step({"tool": "write_file", "arguments": {"path": "search.py", "content": program}})
        lines = [
            ",".join(map(str, [*image.tobytes(), label]))
            for image, label in zip(np.load(folder / "all_images.npy"), np.load(folder / "all_labels.npy"), strict=True)
        ]
        env.step({"tool": "write_file", "arguments": {"path": "hidden/digits.csv", "content": "\n".join(lines)}})
        observation, *_ = env.step("gzip hidden/digits.csv && python3 search.py $PWD")
        assert "found 600 of 600 labels" in observation.text
        env.step({"tool": "submit"})
        assert env.result is not None
        assert env.result.final == 1
        assert "implausible_score" in env.result.integrity.flags


@pytest.mark.slow
@pytest.mark.skipif(BwrapSandbox.unavailable_reason() is not None, reason="bwrap does not work here")
@pytest.mark.parametrize("shown", [True, False])
def test_debians_copy_is_found_where_it_is_shown_and_not_where_it_is_hidden(
    shown: bool, ready: Callable[[str, str], PreparedTask], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not DEBIAN.is_dir():
        pytest.skip(f"There is no {DEBIAN}.")
    ready("vision/fashion-mnist", "mini")
    if shown:
        monkeypatch.setattr(bwrap, "hiding_arguments", lambda folders: [])
    with make("vision/fashion-mnist", variant="mini", sandbox="bwrap") as env:
        env.reset()
        program = (ATTACKS / "search.py").read_text()
        env.step({"tool": "write_file", "arguments": {"path": "search.py", "content": program}})
        observation, *_ = env.step("python3 search.py")
        assert f"found {5000 if shown else 0} of 5000 labels" in observation.text
        env.step({"tool": "submit"})
        assert env.result is not None
        assert env.result.final is not None
        assert (env.result.final == 1) == shown
        assert ("memorised_answers" in env.result.integrity.flags) == shown


# --------------------------------------------------------------------------------- deriving the order


@pytest.mark.parametrize(
    ("task_id", "variant", "dataset"),
    [
        ("vision/digits", "full", "digits"),
        ("vision/fashion-mnist", "mini", "fashion-mnist"),
        ("vision/fashion-mnist", "full", "fashion-mnist"),
        pytest.param("vision/cifar10", "mini", "cifar10-test", marks=pytest.mark.slow),
    ],
)
def test_the_order_follows_from_the_public_key_and_from_no_other(
    task_id: str,
    variant: str,
    dataset: str,
    tmp_path: Path,
    prepared: Prepared,
    content_of: ContentOf,
    grade: Grade,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MLGYM_GRADING_KEY", raising=False)
    workspace = workspace_of(tmp_path, prepared(task_id, variant))
    shutil.copytree(content_of(task_id, dataset), workspace / "public_copy")
    assert f"in the order of {task_id} {variant}" in attack("derive_order.py", workspace)
    assert grade(task_id, (workspace / "submission.csv").read_bytes(), variant=variant)[0] == 1

    if task_id == "vision/digits":
        monkeypatch.setenv("MLGYM_GRADING_KEY", "a secret")
        workspace = workspace_of(tmp_path / "keyed", prepared(task_id, variant, again="with a key"))
        shutil.copytree(content_of(task_id, dataset), workspace / "public_copy")
        assert "the key differs" in attack("derive_order.py", workspace)
        assert {line[-2:] for line in (workspace / "submission.csv").read_text().splitlines()[1:]} == {",0"}


def test_whoever_has_a_key_expects_that_the_order_is_not_derived(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = {}
    for key in ("mlgym", "a secret"):
        monkeypatch.setenv("MLGYM_GRADING_KEY", key)
        outcomes[key] = {given.name: given.outcome for given in Digits().attacks()}
    name = "derives the order from the public key"
    assert (outcomes["mlgym"].pop(name), outcomes["a secret"].pop(name)) == ("flagged", "stopped")
    assert outcomes["mlgym"] == outcomes["a secret"]
