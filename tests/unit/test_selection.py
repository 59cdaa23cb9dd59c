"""A sandbox is chosen for what a task needs, and refused by the name of what it lacks."""

from __future__ import annotations

import pytest

from mlgym_core import CapabilityError, SandboxUnavailableError, TaskMetric, TaskSpec, UsageError, make
from mlgym_core.host import Host
from mlgym_core.sandbox.bwrap import BwrapSandbox
from mlgym_core.sandbox.selection import choose_sandbox, needs_of

needs_bwrap = pytest.mark.skipif(BwrapSandbox.unavailable_reason() is not None, reason="bwrap does not work here")


def test_what_tasks_need(host: Host) -> None:
    assert needs_of(host.tasks.spec("examples/number")) == set()
    assert needs_of(host.tasks.spec("examples/gpu")) == {"gpu"}
    assert needs_of(host.tasks.spec("examples/network")) == {"network"}


@needs_bwrap
def test_what_a_sandbox_lacks_is_named(host: Host, installed_examples: Host) -> None:
    assert choose_sandbox(host, "bwrap", frozenset({"network"}))[0] == "bwrap"
    with pytest.raises(CapabilityError, match="cannot give processes a graphics processor or use a container image"):
        choose_sandbox(host, "bwrap", frozenset({"gpu", "image"}))
    with pytest.raises(CapabilityError, match="the sandbox 'bwrap' can do"):
        make("examples/gpu", sandbox="bwrap")


def test_auto_takes_none_that_cannot_do_it() -> None:
    host = Host.of()
    with pytest.raises(SandboxUnavailableError, match="bwrap: It cannot give processes a graphics processor"):
        choose_sandbox(host, "auto", frozenset({"gpu"}))


def test_an_image_is_named_in_one_way() -> None:
    metrics = (TaskMetric("value"),)
    with pytest.raises(UsageError, match="both an `image` and a `dockerfile`"):
        TaskSpec("a/b", "module:Class", "", metrics=metrics, image="debian", dockerfile="Dockerfile")
