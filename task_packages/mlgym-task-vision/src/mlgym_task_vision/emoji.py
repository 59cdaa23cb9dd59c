"""Emoji as Google draws them, and what Unicode calls them: real images and captions that are small."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlgym_core import (
    Content,
    DataError,
    Dataset,
    Download,
    PythonPackage,
    RemoteFile,
    SystemFiles,
    read_limited,
)
from mlgym_task_vision.captioned_images import write_captions, write_images
from mlgym_task_vision.captions import parse_caption
from mlgym_task_vision.formats import open_image, read_debian_member

if TYPE_CHECKING:
    import numpy as np

IMAGES = "noto"
NAMES = "cldr"
SIDE = 48
"""Width and height of the images, in pixels."""

_DRAWN = (136, 128)
"""Width and height of the font's bitmaps, in pixels."""
_BLOCK = 3
"""Pixels of a bitmap, down and across, that become one."""
_GLYPH_LIMIT = 1 << 16
_FONT_LIMIT = 32 << 20
_NAMES_LIMIT = 4 << 20
_FONT = "NotoColorEmoji.ttf"
_FONT_FOLDER = "/usr/share/fonts/truetype/noto"

_JOINER = 0x200D
_SELECTOR = 0xFE0F
_SKIN_TONES = range(0x1F3FB, 0x1F400)
_FLAG_LETTERS = range(0x1F1E6, 0x1F200)
_TAGS = range(0xE0000, 0xE0080)
_PRIVATE = range(0xF0000, 0x110000)
"""Code points without a meaning: others for the same images, from the time before emoji were in Unicode."""
_VARIATIONS = ((0x2640,), (0x2642,), (0x27A1,))
"""What is joined to an emoji to make it a woman, a man, or one who looks to the right."""
_SAME_BUT_FOR_GENDER = {
    code_point: alike[0]
    for alike in (
        (0x1F9D1, 0x1F468, 0x1F469, 0x1F385, 0x1F936),  # person, man, woman, and the two Claus
        (0x1F9D2, 0x1F466, 0x1F467),  # child, boy, girl
        (0x1F9D3, 0x1F474, 0x1F475),  # older person, old man, old woman
        (0x1FAC5, 0x1F934, 0x1F478),  # person with crown, prince, princess
        (0x1FAC4, 0x1F930, 0x1FAC3),  # pregnant person, woman, man
    )
    for code_point in alike
}

CodePoints = tuple[int, ...]


def name_of(code_points: Sequence[int]) -> str:
    """Return what an emoji is called here: its code points in hexadecimal."""
    return " ".join(f"{code_point:x}" for code_point in code_points)


def base_of(code_points: CodePoints) -> CodePoints:
    """Return what emoji that differ in skin, gender or direction alone have in common."""
    parts: list[CodePoints] = [()]
    for code_point in code_points:
        if code_point == _JOINER:
            parts.append(())
        elif code_point not in _SKIN_TONES:
            parts[-1] += (_SAME_BUT_FOR_GENDER.get(code_point, code_point),)
    return sum((part for part in parts if part not in _VARIATIONS), start=())


def _is_wanted(code_points: CodePoints) -> bool:
    """Whether an emoji is no flag, whose country cannot be known from other flags, and has not two tones of skin."""
    unwanted = (_FLAG_LETTERS, _TAGS, _PRIVATE)
    return not any(code_point in letters for code_point in code_points for letters in unwanted) and (
        sum(code_point in _SKIN_TONES for code_point in code_points) < 2
    )


def _decode_font_file(files: Sequence[Path], content: Content) -> None:
    _decode_font(read_limited(files[0], _FONT_LIMIT), content)


def _decode_debian_package(files: Sequence[Path], content: Content) -> None:
    _decode_font(read_debian_member(files[0], f".{_FONT_FOLDER}/{_FONT}", _FONT_LIMIT), content)


def _decode_font(font: bytes, content: Content) -> None:
    images = dict(sorted(_drawings(font)))
    if not images:
        raise DataError("The font has no bitmaps in colour.")
    groups = _groups(images)
    named = ((name_of(code_points), name_of(groups[code_points])) for code_points in images)
    write_images(content, IMAGES, (SIDE, SIDE, 3), named, images.values())


def _groups(images: Mapping[CodePoints, bytes]) -> dict[CodePoints, CodePoints]:
    """Return for each emoji the first of its group, where equal images are in one group, too."""
    leader: dict[CodePoints, CodePoints] = {}

    def find(member: CodePoints) -> CodePoints:
        while leader[member] != member:
            member = leader[member]
        return member

    first_with: dict[object, CodePoints] = {}
    for code_points, image in images.items():
        leader[code_points] = code_points
        for trait in (base_of(code_points), image):
            one, other = find(code_points), find(first_with.setdefault(trait, code_points))
            leader[max(one, other)] = min(one, other)
    return {code_points: find(code_points) for code_points in images}


def _drawings(font: bytes) -> Iterator[tuple[CodePoints, bytes]]:
    """Yield the emoji that a font with bitmaps in colour (tables CBDT and CBLC of OpenType) draws."""
    from fontTools.ttLib import TTFont

    with TTFont(io.BytesIO(font), lazy=True) as opened:
        bitmaps = opened["CBDT"].strikeData[0]
        for code_points, glyph in _sequences(opened):
            if glyph in bitmaps and _is_wanted(code_points):
                yield code_points, _reduced(bitmaps[glyph].imageData)


def _sequences(font: Any) -> Iterator[tuple[CodePoints, str]]:
    """Yield sequences of code points, without variation selectors, and the names of their glyphs."""
    glyphs: dict[int, str] = font.getBestCmap()
    letters: dict[str, int] = {}
    for code_point, glyph in glyphs.items():
        letters.setdefault(glyph, code_point)
        if code_point != _SELECTOR:
            yield (code_point,), glyph
    for lookup in font["GSUB"].table.LookupList.Lookup:
        for subtable in lookup.SubTable:
            for first, ligatures in getattr(subtable, "ligatures", {}).items():
                for ligature in ligatures:
                    members = (first, *ligature.Component)
                    if all(member in letters for member in members):
                        code_points = (letters[member] for member in members)
                        yield tuple(one for one in code_points if one != _SELECTOR), ligature.LigGlyph


def _reduced(data: bytes) -> bytes:
    """Return the pixels of a bitmap, on white, each the mean of nine, computed with whole numbers alone."""
    import numpy as np

    with open_image(data, "PNG", _GLYPH_LIMIT, {_DRAWN}) as image:
        layers: np.ndarray = np.asarray(image.convert("RGBA"), dtype=np.uint32)
    colours, opacity = layers[:, :, :3], layers[:, :, 3:]
    on_white = (colours * opacity + 255 * (255 - opacity) + 127) // 255
    width, height = _DRAWN
    across, down = (SIDE * _BLOCK - width) // 2, (SIDE * _BLOCK - height) // 2
    padded = np.pad(on_white, ((down, down), (across, across), (0, 0)), constant_values=255)
    blocks = padded.reshape(SIDE, _BLOCK, SIDE, _BLOCK, 3).sum(axis=(1, 3))
    area = _BLOCK * _BLOCK
    pixels: np.ndarray = ((blocks + area // 2) // area).astype(np.uint8)
    return pixels.tobytes()


def _decode_names(files: Sequence[Path], content: Content) -> None:
    captions: dict[str, list[str]] = {}
    text = read_limited(files[0], _NAMES_LIMIT).decode()
    for code_points, name in csv.reader(io.StringIO(text, newline=""), strict=True):
        several = captions.setdefault(name_of([int(one, 16) for one in code_points.split()]), [])
        caption = parse_caption(name.strip(":").replace("_", " "))
        # Aliases such as `+1` say nothing.
        if any(letter.isalpha() for letter in caption) and caption.casefold() not in map(str.casefold, several):
            several.append(caption)
    write_captions(content, NAMES, {image: several for image, several in sorted(captions.items()) if several})


_DEBIAN_FILE = "fonts-noto-color-emoji_2.042-0+deb12u1_all.deb"
_DEBIAN_URLS = {
    "Debian": f"https://deb.debian.org/debian/pool/main/f/fonts-noto-color-emoji/{_DEBIAN_FILE}",
    # By the file's SHA-1 checksum.
    "Debian's archive of all that it ever had": (
        "https://snapshot.debian.org/file/3f93fe61d0e3175f46ec4641e3de9241d61ca878"
    ),
}

NOTO_EMOJI = Dataset(
    name="noto-emoji",
    summary="Emoji of the font Noto Color Emoji 2.042, 48 by 48 pixels in colour, without flags",
    content_hash="b44079addcdc7094394df0177aa44466b836d4cba64d6144511978b898c15b2c",
    sources=(
        SystemFiles(package="fonts-noto-color-emoji", folder=_FONT_FOLDER, files=(_FONT,), decode=_decode_font_file),
        *(
            Download(
                host=host,
                remote=(
                    RemoteFile(
                        url=url,
                        name=_DEBIAN_FILE,
                        size_bytes=9_893_872,
                        sha256="a5ab0f69c7938423862320d9aca5dd187b3fd879d6a9a57dd52e17c3fa8d2751",
                    ),
                ),
                decode=_decode_debian_package,
            )
            for host, url in _DEBIAN_URLS.items()
        ),
    ),
    license="OFL-1.1",
    origin="Google, https://github.com/googlefonts/noto-emoji",
    citation="Google: Noto Color Emoji, version 2.042 (2023)",
    size_bytes=30_900_000,
)

EMOJI_NAMES = Dataset(
    name="emoji-names",
    summary="English names of emoji from Unicode's CLDR, and aliases in use",
    content_hash="51770229ad67ff39c4e45ab2970398d490f32ef97117068aa578260c0309e872",
    sources=(
        PythonPackage(
            requirements=("emoji==2.16.0",),
            program=Path(__file__).parent / "programs" / "emoji_names.py",
            files=("emoji_names.csv",),
            decode=_decode_names,
        ),
    ),
    license="Unicode-3.0 (names); BSD-3-Clause (the package, aliases)",
    origin="Unicode CLDR, https://cldr.unicode.org, through T. Kim and K. Wurster: emoji, https://github.com/carpedm20/emoji",
    citation="Unicode, Inc.: Unicode Common Locale Data Repository, annotations (2025)",
    size_bytes=194_000,
)
