"""`make release-check` and `make release VERSION=…`."""

from __future__ import annotations

import argparse
import datetime
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from releasing.archives import build_all, problems_of_archives
from releasing.workspace import ReleaseError, members_of, new_version, problems_of, run_git, set_version

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Carry out what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m releasing", description=__doc__)
    parser.add_argument("--root", type=Path, default=ROOT, help="The workspace; this one unless given.")
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("check", help="Look whether all members could be released as they are.")
    release = actions.add_parser("release", help="Set a version, check, build into dist, commit and tag.")
    release.add_argument("version", help="Such as 0.2.0.")
    chosen = parser.parse_args()
    try:
        if chosen.action == "check":
            check(chosen.root)
        else:
            make_release(chosen.root, chosen.version)
    except ReleaseError as error:
        sys.exit(f"Error: {error}")
    except KeyboardInterrupt:
        print("Interrupted: nothing was released.", file=sys.stderr)
        sys.exit(130)


def check(root: Path) -> None:
    """Build all members into a temporary folder and look at them.

    Raises:
        ReleaseError: naming all that is wrong.
    """
    _raise_for(problems_of(root))
    with tempfile.TemporaryDirectory(prefix="mlgym-release-") as folder:
        build_all(root, Path(folder))
        _raise_for(problems_of_archives(root, Path(folder)))
    print(f"{len(members_of(root))} members of version {members_of(root)[0].version} could be released.")


def make_release(root: Path, text: str) -> None:
    """Release a version up to uploading it, which is a command that needs a token.

    Raises:
        ReleaseError: if something is wrong. The tree is then as it was.
    """
    if run_git(root, "status", "--porcelain").strip():
        raise ReleaseError("There are changes that are not committed. Commit them, or put them away.")
    version = new_version(root, text)
    _raise_for(problems_of(root))
    dist = root / "dist"
    if dist.exists() and any(dist.iterdir()):
        raise ReleaseError(f"{dist} is not empty. Remove it, so that nothing old is published.")
    try:
        set_version(root, version, datetime.datetime.now(datetime.UTC).date())
        _raise_for(problems_of(root))
        build_all(root, dist)
        _raise_for(problems_of_archives(root, dist))
        run_git(root, "commit", "--quiet", "--all", "--message", f"Release {version}")
    except BaseException:
        # It was clean before, so that nothing of anybody's is lost.
        run_git(root, "restore", "--staged", "--worktree", ".")
        for archive in dist.glob("*") if dist.is_dir() else ():
            archive.unlink()
        raise
    run_git(root, "tag", "--annotate", f"v{version}", "--message", f"mlgym {version}")
    print(f"{version} is built in dist, committed, and tagged v{version}. To publish it:")
    print("  git push --follow-tags")
    print("  UV_PUBLISH_TOKEN=… .venv/bin/uv publish dist/*")
    print(f"To take it back before that: git tag --delete v{version} && git reset --hard HEAD~1 && rm -r dist")


def _raise_for(problems: Iterable[str]) -> None:
    found = list(problems)
    if found:
        raise ReleaseError("\n  ".join(["This cannot be released:", *found]))


if __name__ == "__main__":
    main()
