"""The core's own sandboxes conform."""

from __future__ import annotations

import pytest

from mlgym_core.testing import SandboxConformance


class TestBwrap(SandboxConformance):
    """The embedded sandbox."""

    sandbox = "bwrap"


class TestProcess(SandboxConformance):
    """The sandbox that is none."""

    sandbox = "process"


def test_the_suite_cannot_be_thinned_out_silently() -> None:
    with pytest.raises(TypeError, match="known_gaps"):
        type("Thin", (SandboxConformance,), {"test_exit_codes": None})
    with pytest.raises(TypeError, match="no tests"):
        type("Wrong", (SandboxConformance,), {"known_gaps": {"test_nothing": "because"}})
