"""The smallest wheel there is, for what installs packages."""

from __future__ import annotations

import zipfile
from pathlib import Path

NAME = "mlgym_example_of_a_wheel"


def make_wheel(folder: Path, version: str) -> Path:
    """Write a wheel of one module, which knows its version, into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{NAME}-{version}-py3-none-any.whl"
    information = f"{NAME}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{NAME}.py", f"VERSION = {version!r}\n")
        wheel.writestr(f"{information}/METADATA", f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {version}\n")
        wheel.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{information}/RECORD", "")
    return path
