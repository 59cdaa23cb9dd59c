"""Choosing a sandbox by name, or the best that works here, for what a task needs."""

from __future__ import annotations

from mlgym_core.errors import CapabilityError, PluginError, SandboxUnavailableError
from mlgym_core.host import Host
from mlgym_core.interfaces import Sandbox
from mlgym_core.specs import TaskSpec

_MEANING = {
    "gpu": "give processes a graphics processor",
    "image": "use a container image of the task's own",
    "network": "let processes reach the network",
}


def needs_of(spec: TaskSpec) -> frozenset[str]:
    """Return the capabilities that a task's sandbox must have."""
    needs = {
        "gpu": spec.resources is not None and spec.resources.gpus > 0,
        "image": spec.image is not None or spec.dockerfile is not None,
        "network": spec.network,
    }
    return frozenset(name for name, needed in needs.items() if needed)


def choose_sandbox(host: Host, name: str, needs: frozenset[str] = frozenset()) -> tuple[str, type[Sandbox]]:
    """Return the id and class of the sandbox `name`; `auto` tries those with a preference, best first.

    Args:
        needs: Capabilities that it must have.

    Raises:
        CapabilityError: if it lacks one of them.
        SandboxUnavailableError: if it does not work here, with the remedy.
        UnknownNameError: if there is none of that name.
    """
    if name != "auto":
        sandbox_class = host.sandboxes.load(name)
        reason = sandbox_class.unavailable_reason()
        if reason is not None:
            raise SandboxUnavailableError(f"The sandbox {name!r} does not work here. {reason}")
        if lacking := _lacking(sandbox_class, needs):
            raise CapabilityError(f"The task needs more than the sandbox {name!r} can do. {lacking}")
        return name, sandbox_class
    reasons = []
    candidates = sorted((spec.preference, spec.id) for spec in host.sandboxes if spec.preference is not None)
    for _, candidate in candidates:
        try:
            sandbox_class = host.sandboxes.load(candidate)
        except PluginError as error:
            reasons.append(f"  {candidate}: {error}")
            continue
        # What can never do is not even looked for: asking an engine takes time.
        reason = _lacking(sandbox_class, needs) or sandbox_class.unavailable_reason()
        if not reason:
            return candidate, sandbox_class
        reasons.append(f"  {candidate}: {reason}")
    raise SandboxUnavailableError(
        "No sandbox works on this machine:\n"
        + "\n".join(reasons)
        + "\n`mlgym doctor` says more. Code that you trust can run without isolation: --sandbox process."
    )


def check_counts_processor_time(name: str, sandbox_class: type[Sandbox]) -> None:
    """Make sure that a limit on processor time can be held.

    Raises:
        CapabilityError: if nothing counts it in this sandbox on this machine.
    """
    if sandbox_class.processor_time_counter() is None:
        raise CapabilityError(
            f"The sandbox {name!r} cannot count processor time on this machine, so that max_processor_time cannot be "
            "held. Leave it out, or choose another sandbox with --sandbox (`mlgym doctor` says what works)."
        )


def _lacking(sandbox_class: type[Sandbox], needs: frozenset[str]) -> str:
    """Return what a sandbox cannot do of what is needed, as a sentence, or nothing."""
    lacking = sorted(needs - sandbox_class.capabilities)
    return f"It cannot {' or '.join(_MEANING[name] for name in lacking)}." if lacking else ""
