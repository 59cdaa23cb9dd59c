"""The checks of a sandbox: the conformance suite of the test kit, run by pytest in a process of its own."""

from __future__ import annotations

import asyncio
import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from mlgym_core.checks.findings import Check, CheckFailed, Checks, CheckSkipped
from mlgym_core.checks.importing import check_import
from mlgym_core.host import Host
from mlgym_core.sandbox.scratch import remove_scratch, scratch_folder

_TEST = """\
from mlgym_core.testing import SandboxConformance


class TestSandbox(SandboxConformance):
    sandbox = {sandbox!r}
"""
_OPTIONS = ("-p", "no:cacheprovider", "-p", "no:xdist", "-o", "asyncio_mode=auto", "-q")
_OPTIONAL = ("freeze", "gpu", "image", "layers", "network")


class SandboxChecks(Checks):
    """The checks of a sandbox. Run `all`."""

    kind = "sandbox"

    def __init__(self, host: Host, sandbox_id: str) -> None:
        super().__init__(sandbox_id)
        self._host = host
        self._entry = host.sandboxes.entry(sandbox_id)

    def checks(self) -> Sequence[Check]:
        """Return the checks of every sandbox."""
        return (
            ("import", self._import),
            ("capabilities", self._capabilities),
            ("available", self._available),
            ("conformance", self._conformance),
        )

    async def _import(self) -> str:
        return await check_import(self._entry, target=False)

    async def _capabilities(self) -> str:
        sandbox_class = self._host.sandboxes.load(self.id)
        unknown = sorted(sandbox_class.capabilities - set(_OPTIONAL))
        if unknown:
            raise CheckFailed(
                f"it states {', '.join(unknown)}, which nobody asks for", f"There are: {', '.join(_OPTIONAL)}."
            )
        preference = self._entry.spec.preference
        if preference is not None and not sandbox_class.isolated:
            raise CheckFailed(
                "`auto` would choose it, and it isolates nothing", "Leave the spec's `preference` out, or isolate."
            )
        isolated = "isolated" if sandbox_class.isolated else "not isolated"
        return f"{', '.join(sorted(sandbox_class.capabilities)) or 'none'}; {isolated}"

    async def _available(self) -> str:
        reason = await asyncio.to_thread(self._host.sandboxes.load(self.id).unavailable_reason)
        if reason is None:
            return "it works on this machine"
        if not isinstance(reason, str) or not reason.strip():
            raise CheckFailed(f"it says {reason!r} of why it does not work here", "Say why, and what would help.")
        raise CheckSkipped(f"it does not work here: {reason}")

    async def _conformance(self) -> str:
        if self._host.sandboxes.load(self.id).unavailable_reason() is not None:
            raise CheckSkipped("it does not work here")
        if importlib.util.find_spec("pytest") is None or importlib.util.find_spec("pytest_asyncio") is None:
            raise CheckSkipped("there is no pytest: pip install 'mlgym-core[testing]'")
        folder = scratch_folder("check")
        try:
            test, report = folder / "test_sandbox.py", folder / "report.xml"
            test.write_text(_TEST.format(sandbox=self.id), encoding="utf-8")
            done = await asyncio.to_thread(
                subprocess.run,
                [sys.executable, "-m", "pytest", *_OPTIONS, f"--rootdir={folder}", f"--junitxml={report}", str(test)],
                capture_output=True,
                text=True,
                check=False,
                cwd=folder,
            )
            if not report.is_file():
                raise CheckFailed(
                    f"the suite did not run: {(done.stdout + done.stderr).strip()[-500:]}", "Is it installed?"
                )
            return self._verdict(report)
        finally:
            remove_scratch(folder)

    @staticmethod
    def _verdict(report: Path) -> str:
        cases = list(ElementTree.parse(report).iter("testcase"))  # noqa: S314 - our own pytest wrote it
        failed = [
            case.get("name", "?")
            for case in cases
            if case.find("failure") is not None or case.find("error") is not None
        ]
        skipped = sum(case.find("skipped") is not None for case in cases)
        if failed or not cases:
            raise CheckFailed(
                f"{len(failed)} of {len(cases)} tests fail: {', '.join(failed[:5])}",
                "Derive a test class from mlgym_core.testing.SandboxConformance: pytest says more.",
            )
        return f"{len(cases) - skipped} tests of the suite pass, {skipped} are skipped"
