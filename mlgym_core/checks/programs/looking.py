"""Reports which files of given sizes an agent can read, by their hashes, and what its environment says.

Arguments: a JSON list of sizes in bytes, a JSON list of folders, and the path of the report, which also says which of
the folders hold anything.
"""

import hashlib
import json
import os
import sys
from pathlib import Path

LEFT_OUT = ("/proc", "/sys", "/dev")


def main() -> None:
    """Look at every file."""
    sizes = set(json.loads(sys.argv[1]))
    found = []
    for folder, folders, names in os.walk("/", followlinks=False):
        folders[:] = [name for name in folders if str(Path(folder, name)) not in LEFT_OUT]
        for name in names:
            path = Path(folder, name)
            try:
                if path.is_symlink() or path.stat().st_size not in sizes:
                    continue
                with path.open("rb") as file:
                    found.append([str(path), hashlib.file_digest(file, "sha256").hexdigest()])
            except OSError:
                continue
    folders = [folder for folder in json.loads(sys.argv[2]) if Path(folder).is_dir() and os.listdir(folder)]
    report = {"files": found, "environment": dict(os.environ), "folders": folders}
    Path(sys.argv[3]).write_text(json.dumps(report))


if __name__ == "__main__":
    main()
