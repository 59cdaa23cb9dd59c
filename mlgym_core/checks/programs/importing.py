"""Imports modules in a fresh interpreter, and reports which heavy ones that imports, and where.

Arguments: a JSON list of the modules to import, one of the heavy modules, and the package of a task's module, or
nothing. The last of the modules must then import nothing besides that package, mlgym_core and the standard library.
Prints a JSON object: `heavy` and `foreign` are lists whose members are a module, a file and a line.
"""

import json
import sys
import traceback
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

IMPORT_SYSTEM = ("<frozen importlib._bootstrap>", "<frozen importlib._bootstrap_external>", __file__)


Place = tuple[str, str, int]


class Watcher(MetaPathFinder):
    """Notes who first asks for a module; finds none itself.

    Args:
        heavy: The modules to look out for.
        package: The package besides which a task's module needs nothing, if there is one.
    """

    def __init__(self, heavy: list[str], package: str) -> None:
        self.heavy = heavy
        self.package = package
        self.known = {*sys.stdlib_module_names, "mlgym_core", package}
        self.imports_task = False
        self.seen: list[Place] = []
        self.foreign: list[Place] = []

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        """Note the module if it is heavy or foreign."""
        if name in self.heavy:
            self.seen.append((name, *self._place()))
        if self.imports_task and "." not in name and name not in self.known:
            self.foreign.append((name, *self._place(self.package)))
        return None

    def _place(self, package: str = "") -> tuple[str, int]:
        """Return which line is importing: of a package, if any of its lines is, since it may be through mlgym_core."""
        frames = [frame for frame in traceback.extract_stack() if frame.filename not in IMPORT_SYSTEM]
        own = [frame for frame in frames if package and package in Path(frame.filename).with_suffix("").parts]
        frames = own or frames
        return (frames[-1].filename, frames[-1].lineno or 0) if frames else ("?", 0)


def main() -> None:
    """Import and report."""
    modules, package = json.loads(sys.argv[1]), sys.argv[3]
    watcher = Watcher(json.loads(sys.argv[2]), package)
    sys.meta_path.insert(0, watcher)
    # The task's module first, and by itself: what others import need not be there in a grader.
    for module in reversed(modules):
        watcher.imports_task = bool(package) and module == modules[-1]
        __import__(module)
    # Those that are not installed, and were asked for in vain, cost nothing.
    found = {"heavy": watcher.seen, "foreign": watcher.foreign}
    print(json.dumps({key: [place for place in places if place[0] in sys.modules] for key, places in found.items()}))


if __name__ == "__main__":
    main()
