"""Imports modules in a fresh interpreter, and reports which heavy ones that imports, and where.

Arguments: a JSON list of the modules to import, and one of the heavy modules. Prints a JSON list whose members are a
heavy module, a file and a line.
"""

import json
import sys
import traceback
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import Any

IMPORT_SYSTEM = ("<frozen importlib._bootstrap>", "<frozen importlib._bootstrap_external>", __file__)


class Watcher(MetaPathFinder):
    """Notes who first asks for a module; finds none itself.

    Args:
        heavy: The modules to look out for.
    """

    def __init__(self, heavy: list[str]) -> None:
        self.heavy = heavy
        self.seen: list[tuple[str, str, int]] = []

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        """Note the module if it is heavy."""
        if name in self.heavy:
            frames = [frame for frame in traceback.extract_stack() if frame.filename not in IMPORT_SYSTEM]
            place = frames[-1] if frames else None
            self.seen.append((name, place.filename if place else "?", (place.lineno or 0) if place else 0))
        return None


def main() -> None:
    """Import and report."""
    watcher = Watcher(json.loads(sys.argv[2]))
    sys.meta_path.insert(0, watcher)
    for module in json.loads(sys.argv[1]):
        __import__(module)
    # Those that are not installed, and were asked for in vain, cost nothing.
    print(json.dumps([place for place in watcher.seen if place[0] in sys.modules]))


if __name__ == "__main__":
    main()
