"""Photographs and emoji with their captions: as they are published, and broken."""

from __future__ import annotations

import dataclasses
import io
import json
import lzma
import struct
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from file_server import FileServer, Served
from PIL import Image

from mlgym_core import Content, DataError, Dataset, Download, SystemFiles
from mlgym_core.data.content import content_hash
from mlgym_core.data.obtaining import obtain
from mlgym_core.data.store import StoredDataset
from mlgym_task_vision import coco, emoji
from mlgym_task_vision.captioned_images import read_captions, read_images, write_images
from mlgym_task_vision.captions import parse_caption
from mlgym_task_vision.emoji import EMOJI_NAMES, NOTO_EMOJI, base_of, name_of

TASK = "vision/coco-captioning"
ContentOf = Callable[[str, str], Path]
Document = dict[str, Any]


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache."""
    monkeypatch.setenv("MLGYM_CACHE_DIR", str(tmp_path / "cache"))
    for name in ("MLGYM_OFFLINE", "MLGYM_DATA_MIRROR"):
        monkeypatch.delenv(name, raising=False)


def served(source: Download, dataset: Dataset, server: FileServer, files: Sequence[bytes]) -> Dataset:
    """Return a dataset with one source, the files of which a server here has instead of the publisher's."""
    remote = []
    for file, data in zip(source.remote, files, strict=True):
        server.files[f"/{file.name}"] = Served(data)
        remote.append(dataclasses.replace(file, url=f"{server.url}/{file.name}", size_bytes=None, sha256=None))
    return dataclasses.replace(dataset, sources=(dataclasses.replace(source, remote=tuple(remote)),))


# ---------------------------------------------------------------------------------------------------- COCO

# The numbers of some images, not in order, and their sizes.
PHOTOGRAPHS = {
    "train2017": {581929: (640, 480), 9: (320, 640), 25: (96, 96)},
    "val2017": {139: (500, 375), 285: (80, 60)},
}


@pytest.fixture
def small_coco(monkeypatch: pytest.MonkeyPatch) -> None:
    """Expect a few photographs."""
    for name in ("TRAIN", "VALIDATION"):
        part = getattr(coco, name)
        monkeypatch.setattr(coco, name, dataclasses.replace(part, count=len(PHOTOGRAPHS[part.published])))


def photograph(number: int, size: tuple[int, int], kind: str = "JPEG") -> bytes:
    """Return an image whose left half is red, as far as its number says, and whose right half is blue."""
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[:, : size[0] // 2, 0] = number % 200 + 50
    pixels[:, size[0] // 2 :, 2] = 255
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def archive(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        for name, data in members.items():
            opened.writestr(name, data)
    return file.getvalue()


def document(published: str) -> Document:
    """Return captions in the form in which COCO has them: six of the first image, five of the others."""
    images = list(PHOTOGRAPHS[published])
    caption = "Photograph {} \n seen\u200b by {}.\n"
    annotations = [
        {"image_id": image, "id": 1000 + place - 10 * number, "caption": caption.format(image, number)}
        for place, image in enumerate(images)
        for number in range(6 if place == 0 else 5)
    ]
    listed = [{"license": 3, "file_name": f"{image:012}.jpg", "height": 1, "width": 1, "id": image} for image in images]
    return {"info": {"year": 2017}, "licenses": [], "images": listed, "annotations": annotations}


def coco_files() -> list[dict[str, bytes]]:
    """Return the members of the three archives."""
    photographs = [
        {f"{published}/{image:012}.jpg": photograph(image, size) for image, size in images.items()}
        for published, images in PHOTOGRAPHS.items()
    ]
    captions = {f"annotations/captions_{name}.json": json.dumps(document(name)).encode() for name in PHOTOGRAPHS}
    return [*photographs, captions | {"annotations/instances_val2017.json": b"{}"}]


def obtain_coco(server: FileServer, files: Sequence[bytes]) -> StoredDataset:
    source = coco.COCO.sources[0]
    assert isinstance(source, Download)
    return obtain(TASK, served(source, coco.COCO, server, files))


@pytest.mark.usefixtures("own_cache", "small_coco")
def test_photographs_and_captions_come_in_the_order_of_their_numbers(server: FileServer) -> None:
    folder = obtain_coco(server, [archive(members) for members in coco_files()]).path
    for part, published in (("train", "train2017"), ("val", "val2017")):
        numbers = sorted(PHOTOGRAPHS[published])
        listed = read_images(folder, part)
        assert [(one.row, one.image, one.group) for one in listed] == [
            (row, str(number), str(number)) for row, number in enumerate(numbers)
        ]
        images = np.load(folder / f"{part}_images.npy")
        assert (images.shape, images.dtype) == ((len(numbers), 96, 96, 3), np.uint8)
        for image, number in zip(images.astype(int), numbers, strict=True):
            # The whole photograph is there, whatever its shape was.
            assert image[:, :40, 0].mean() == pytest.approx(number % 200 + 50, abs=4)
            assert image[:, 56:, 2].mean() == pytest.approx(255, abs=4)
            assert image[:, :40, 2].mean() < 4
        captions = read_captions(folder, part)
        assert list(captions) == [str(number) for number in numbers]
        first = next(iter(PHOTOGRAPHS[published]))
        # In the order of the captions' own numbers, which is falling here.
        assert captions[str(first)] == [f"Photograph {first} seen by {number}." for number in (5, 4, 3, 2, 1)]
        assert {len(several) for several in captions.values()} == {5}


def changed(
    change: Callable[[Document], object], published: str = "train2017"
) -> Callable[[list[dict[str, bytes]]], None]:
    """Return a change of the captions of a part."""

    def apply(files: list[dict[str, bytes]]) -> None:
        captions = document(published)
        change(captions)
        files[2][f"annotations/captions_{published}.json"] = json.dumps(captions).encode()

    return apply


def with_image(data: bytes) -> Callable[[list[dict[str, bytes]]], None]:
    """Return a change of one photograph."""
    return lambda files: files[1].update({"val2017/000000000139.jpg": data})


@pytest.mark.usefixtures("own_cache", "small_coco")
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda files: files[0].pop("train2017/000000000009.jpg"), "has no file 'train2017/000000000009.jpg'"),
        (lambda files: files[2].pop("annotations/captions_val2017.json"), "has no file 'annotations/captions_val"),
        (lambda files: files[2].update({"annotations/captions_val2017.json": b"{"}), "is not what it was"),
        (lambda files: files[2].update({"annotations/captions_val2017.json": b"[" * 10**5}), "is not what it was"),
        (lambda files: files[2].update({"annotations/captions_val2017.json": b"[]"}), "is not what it was"),
        (changed(lambda captions: captions.pop("annotations")), "is not what it was"),
        (changed(lambda captions: captions["images"].pop()), "has 2 images instead of 3"),
        (changed(lambda captions: captions["annotations"].pop()), "has 4 captions of the image 25 instead of 5"),
        (
            changed(lambda captions: captions["annotations"][0].update(image_id=7)),
            "of an image 7 that it does not have",
        ),
        (changed(lambda captions: captions["annotations"][0].update(caption="")), "it is empty"),
        (changed(lambda captions: captions["annotations"][0].update(caption=None)), "is not what it was"),
        (changed(lambda captions: captions["images"][0].update(file_name="../../x.jpg")), "not named as COCO's are"),
        (changed(lambda captions: captions["images"][0].update(file_name=3)), "not named as COCO's are"),
        (with_image(b""), "image is broken"),
        (with_image(photograph(1, (96, 96))[:500]), "image is broken"),
        (with_image(photograph(1, (96, 96), "PNG")), "image is broken"),
        (with_image(photograph(1, (3000, 10))), "3,000 by 10 pixels"),
        (with_image(bytes(9 << 20)), "holds more than 8,388,608 bytes"),
    ],
)
def test_other_photographs_and_captions_are_refused(
    change: Callable[[list[dict[str, bytes]]], object], says: str, server: FileServer
) -> None:
    files = coco_files()
    change(files)
    with pytest.raises(DataError, match=says):
        obtain_coco(server, [archive(members) for members in files])


@pytest.mark.usefixtures("own_cache", "small_coco")
def test_odd_captions_do_not_spoil_the_others(server: FileServer) -> None:
    odd = ["A cat.\n\nA dog.\u2028", "a\u200bb <skipped> \x07c", "long " * 200, "x" * 600, "５ cats"]
    files = coco_files()
    captions = document("val2017")
    for annotation, text in zip(captions["annotations"][-5:], odd, strict=True):
        annotation["caption"] = text
    files[2]["annotations/captions_val2017.json"] = json.dumps(captions).encode()
    found = read_captions(obtain_coco(server, [archive(members) for members in files]).path, "val")
    # In the order of the captions' own numbers, which is falling here.
    assert found["285"][::-1] == ["A cat. A dog.", "a b c", ("long " * 100).strip(), "x" * 500, "5 cats"]
    assert found["285"] == [parse_caption(caption) for caption in found["285"]]


@pytest.mark.usefixtures("own_cache", "small_coco")
def test_broken_metadata_of_a_photograph_do_not_spoil_it(server: FileServer) -> None:
    plain = photograph(139, (500, 375))
    # A table of EXIF that is said to have five entries, and has one, which lies beyond the end.
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<HHHII", 5, 0x011A, 5, 1, 5000)
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    files = coco_files()
    files[1]["val2017/000000000139.jpg"] = plain[:2] + segment + plain[2:]
    with pytest.warns(UserWarning, match=r"Truncated|Corrupt"):
        Image.open(io.BytesIO(files[1]["val2017/000000000139.jpg"])).load()
    images = np.load(obtain_coco(server, [archive(members) for members in files]).path / "val_images.npy")
    assert images[0, :, :40, 0].mean() == pytest.approx(139 + 50, abs=4)


@pytest.mark.usefixtures("own_cache", "small_coco")
@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("keep", [0, 100, -30])
def test_archives_of_coco_that_are_cut_off_are_refused(which: int, keep: int, server: FileServer) -> None:
    archives = [archive(members) for members in coco_files()]
    archives[which] = archives[which][:keep]
    with pytest.raises(DataError, match=r"no complete (tar or )?zip archive|has no file"):
        obtain_coco(server, archives)


def test_all_of_coco_is_expected() -> None:
    assert (coco.TRAIN.count, coco.VALIDATION.count) == (118_287, 5_000)
    (source,) = coco.COCO.sources
    assert isinstance(source, Download)
    # 18 GB of photographs, over plain http: whoever is on the way could change them.
    for file in source.remote:
        assert file.size_bytes is not None
        assert file.size_bytes < file.max_bytes
        assert file.sha256 is not None


@pytest.mark.usefixtures("own_cache", "small_coco")
def test_other_archives_than_the_published_ones_are_refused(server: FileServer) -> None:
    source = coco.COCO.sources[0]
    assert isinstance(source, Download)
    remote = []
    for file, members in zip(source.remote, coco_files(), strict=True):
        data = archive(members)
        server.files[f"/{file.name}"] = Served(data)
        remote.append(dataclasses.replace(file, url=f"{server.url}/{file.name}", size_bytes=len(data)))
    changed = dataclasses.replace(coco.COCO, sources=(dataclasses.replace(source, remote=tuple(remote)),))
    with pytest.raises(DataError, match=r"has the SHA-256 checksum .* instead of 69a8bb58"):
        obtain(TASK, changed)


def test_no_photograph_is_missing() -> None:
    pixels = (coco.TRAIN.count + coco.VALIDATION.count) * coco.SIDE * coco.SIDE * 3
    assert coco.COCO.size_bytes == pytest.approx(pixels, rel=0.02)


# --------------------------------------------------------------------------------------------------- emoji


def test_emoji_and_their_names_are_those_that_were_declared(content_of: ContentOf) -> None:
    images, names = (content_of(TASK, dataset.name) for dataset in (NOTO_EMOJI, EMOJI_NAMES))
    assert (content_hash(images), content_hash(names)) == (NOTO_EMOJI.content_hash, EMOJI_NAMES.content_hash)
    captions = read_captions(names, "cldr")
    assert captions["1f600"][0] == "grinning face"
    assert captions["1f6b4 1f3fe 200d 2640"] == ["woman biking medium-dark skin tone"]
    assert "thumbsup" in captions["1f44d"]
    rows = {image.image: image.row for image in read_images(images, "noto")}
    pixels = np.load(images / "noto_images.npy")
    assert pixels.shape == (len(rows), 48, 48, 3)
    # A red heart is red in the middle, on white.
    heart = pixels[rows["2764"]].astype(int)
    assert heart[24, 24, 0] > 180
    assert heart[24, 24, 1:].max() < 90
    assert (heart[:2] == 255).all()
    # Neither a flag nor two tones of skin.
    assert "1f1eb 1f1f7" in captions
    assert "1f1eb 1f1f7" not in rows
    assert not [
        name for name in rows if sum(tone in name for tone in ("1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff")) > 1
    ]


def test_variations_of_an_emoji_are_one_group(content_of: ContentOf) -> None:
    groups = {image.image: image.group for image in read_images(content_of(TASK, "noto-emoji"), "noto")}
    for alike in (
        ("1f44d", "1f44d 1f3fb", "1f44d 1f3ff"),
        ("1f6b4", "1f6b4 200d 2640", "1f6b4 200d 2642", "1f6b4 1f3fe 200d 2640"),
        ("1f468", "1f469", "1f9d1", "1f385", "1f936 1f3fd"),
        ("1f468 200d 1f692", "1f469 1f3ff 200d 1f692", "1f9d1 200d 1f692"),
        ("1f3c3", "1f3c3 200d 27a1", "1f3c3 1f3fb 200d 2640 200d 27a1"),
        ("1f467", "1f466", "1f9d2 1f3fb"),
    ):
        assert len({groups[name] for name in alike}) == 1, alike
    different = ("1f600", "1f603", "1f44d", "1f6b4", "1f468", "1f467", "1f468 200d 1f692", "2764")
    assert len({groups[name] for name in different}) == len(different)


def test_emoji_with_equal_images_are_one_group(content_of: ContentOf) -> None:
    folder = content_of(TASK, "noto-emoji")
    pixels = np.load(folder / "noto_images.npy")
    groups: dict[bytes, str] = {}
    for image in read_images(folder, "noto"):
        assert groups.setdefault(pixels[image.row].tobytes(), image.group) == image.group


@pytest.mark.parametrize(
    ("code_points", "base"),
    [
        ((0x1F600,), (0x1F600,)),
        ((0x1F44D, 0x1F3FB), (0x1F44D,)),
        ((0x1F469, 0x1F3FD, 0x200D, 0x1F692), (0x1F9D1, 0x1F692)),
        ((0x1F3C3, 0x200D, 0x2642, 0x200D, 0x27A1), (0x1F3C3,)),
    ],
)
def test_bases(code_points: tuple[int, ...], base: tuple[int, ...]) -> None:
    assert base_of(code_points) == base
    assert name_of((0x1F44D, 0x1F3FB)) == "1f44d 1f3fb"


def debian_package(font: bytes, name: str = "./usr/share/fonts/truetype/noto/NotoColorEmoji.ttf") -> bytes:
    """Return a Debian package with one file."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as opened:
        entry = tarfile.TarInfo(name)
        entry.size = len(font)
        opened.addfile(entry, io.BytesIO(font))
    members = {"debian-binary": b"2.0\n", "control.tar.xz": b"odd", "data.tar.xz": lzma.compress(file.getvalue())}
    package = b"!<arch>\n"
    for member, data in members.items():
        header = f"{member:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n"
        package += header.encode() + data + b"\n" * (len(data) % 2)
    return package


def small_font() -> bytes:
    """Return a font with bitmaps in colour: a red and a green square, and the two together as a ligature."""
    from fontTools.feaLib.builder import addOpenTypeFeaturesFromString
    from fontTools.fontBuilder import FontBuilder
    from fontTools.ttLib import newTable
    from fontTools.ttLib.tables._g_l_y_f import Glyph
    from fontTools.ttLib.tables.BitmapGlyphMetrics import SmallGlyphMetrics
    from fontTools.ttLib.tables.C_B_D_T_ import cbdt_bitmap_format_17
    from fontTools.ttLib.tables.E_B_L_C_ import BitmapSizeTable, SbitLineMetrics, Strike, eblc_index_sub_table_1

    builder = FontBuilder(1000, isTTF=True)
    names = [".notdef", "red", "green", "both"]
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({0x1F600: "red", 0x1F601: "green"})
    builder.setupGlyf({name: Glyph() for name in names})
    builder.setupHorizontalMetrics(dict.fromkeys(names, (1000, 0)))
    builder.setupHorizontalHeader()
    builder.setupNameTable({"familyName": "Squares", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    font = builder.font
    addOpenTypeFeaturesFromString(font, "feature ccmp { sub red green by both; } ccmp;")

    strike, sizes = Strike(), BitmapSizeTable()
    for name, value in {"colorRef": 0, "flags": 1, "ppemX": 109, "ppemY": 109, "bitDepth": 32}.items():
        setattr(sizes, name, value)
    sizes.startGlyphIndex, sizes.endGlyphIndex = 1, 3
    for direction in ("hori", "vert"):
        metrics = SbitLineMetrics()
        for name in (
            *("ascender", "descender", "widthMax", "caretSlopeNumerator", "caretSlopeDenominator", "caretOffset"),
            *("minOriginSB", "minAdvanceSB", "maxBeforeBL", "minAfterBL", "pad1", "pad2"),
        ):
            setattr(metrics, name, 0)
        setattr(sizes, direction, metrics)
    strike.bitmapSizeTable = sizes
    index = eblc_index_sub_table_1(b"", font)
    index.names = names[1:]
    index.indexFormat, index.imageFormat, index.firstGlyphIndex, index.lastGlyphIndex = 1, 17, 1, 3
    strike.indexSubTables = [index]
    bitmaps = {}
    for name, colour in (("red", (255, 0, 0, 255)), ("green", (0, 255, 0, 255)), ("both", (255, 255, 0, 128))):
        file = io.BytesIO()
        Image.new("RGBA", (136, 128), colour).save(file, "PNG")
        glyph = cbdt_bitmap_format_17(b"", font)
        glyph.metrics = SmallGlyphMetrics()
        for field, value in {"height": 128, "width": 136, "BearingX": 0, "BearingY": 101, "Advance": 136}.items():
            setattr(glyph.metrics, field, value)
        glyph.imageData = file.getvalue()
        bitmaps[name] = glyph
    located, drawn = newTable("CBLC"), newTable("CBDT")
    located.version, located.strikes = 3.0, [strike]
    drawn.version, drawn.strikeData = 3.0, [bitmaps]
    font["CBLC"], font["CBDT"] = located, drawn
    saved = io.BytesIO()
    font.save(saved)
    return saved.getvalue()


def source_of(place: int) -> Any:
    return NOTO_EMOJI.sources[place]


@pytest.mark.usefixtures("own_cache")
def test_a_font_is_read_from_a_debian_package(server: FileServer) -> None:
    declared = dataclasses.replace(NOTO_EMOJI, content_hash=None)
    folder = obtain(TASK, served(source_of(1), declared, server, [debian_package(small_font())])).path
    listed = read_images(folder, "noto")
    assert [image.image for image in listed] == ["1f600", "1f600 1f601", "1f601"]
    red, both, green = np.load(folder / "noto_images.npy")[:, 24, 24].tolist()
    # The third is half transparent, on white.
    assert (red, green, both) == ([255, 0, 0], [0, 255, 0], [255, 255, 127])


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize(
    ("package", "says"),
    [
        (lambda: b"", "no Debian package"),
        (lambda: b"!<arch>\n", "has no data"),
        (lambda: b"!<arch>\n" + b"x" * 60, "no complete Debian package"),
        (lambda: debian_package(b"")[:100], "no complete Debian package"),
        (lambda: debian_package(b"x" * 1000)[:-40], "no complete tar or zip archive"),
        (lambda: debian_package(b"", "./usr/share/other"), "has no file './usr/share/fonts"),
        (lambda: debian_package(b"no font"), "cannot be read"),
        (lambda: debian_package(small_font()[:1500]), "cannot be read|is broken"),
    ],
)
def test_broken_packages_and_fonts_are_refused(package: Callable[[], bytes], says: str, server: FileServer) -> None:
    declared = dataclasses.replace(NOTO_EMOJI, content_hash=None)
    with pytest.raises(DataError, match=says):
        obtain(TASK, served(source_of(1), declared, server, [package()]))


@pytest.mark.usefixtures("own_cache")
def test_another_font_is_not_taken_for_the_declared_one(server: FileServer) -> None:
    with pytest.raises(DataError, match="could not be had"):
        obtain(TASK, served(source_of(1), NOTO_EMOJI, server, [debian_package(small_font())]))


def test_where_debian_keeps_the_font_is_hidden_from_agents() -> None:
    system = [source for source in NOTO_EMOJI.sources if isinstance(source, SystemFiles)]
    assert [source.folder for source in system] == ["/usr/share/fonts/truetype/noto"]
    assert all(file.sha256 and file.size_bytes for source in NOTO_EMOJI.sources[1:] for file in source.remote)  # type: ignore[union-attr]


@pytest.mark.parametrize("text", ["xyz,:a:\n", '1f600,":a\n', "1f600,::\n", "1f600\n", "1f600,:" + "a" * 600 + ":\n"])
def test_other_names_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "emoji_names.csv").write_text(text)
    (tmp_path / "content").mkdir()
    with pytest.raises(Exception, match=r"invalid literal|unexpected end|empty|not enough values|has 600 characters"):
        EMOJI_NAMES.sources[0].decode([tmp_path / "emoji_names.csv"], Content(tmp_path / "content"))


def test_images_of_another_size_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="an image has 11 values instead of 12"):
        write_images(Content(tmp_path), "x", (2, 2, 3), [("a", "a")], [b"x" * 11])
    assert emoji.SIDE == 48
