"""Choosing a sandbox by name, or the best that works here."""

from __future__ import annotations

from mlgym_core.errors import PluginError, SandboxUnavailableError
from mlgym_core.host import Host
from mlgym_core.interfaces import Sandbox


def choose_sandbox(host: Host, name: str) -> tuple[str, type[Sandbox]]:
    """Return the id and class of the sandbox `name`; `auto` tries those with a preference, best first.

    Raises:
        SandboxUnavailableError: if it does not work here, with the remedy.
        UnknownNameError: if there is none of that name.
    """
    if name != "auto":
        sandbox_class = host.sandboxes.load(name)
        reason = sandbox_class.unavailable_reason()
        if reason is not None:
            raise SandboxUnavailableError(f"The sandbox {name!r} does not work here. {reason}")
        return name, sandbox_class
    reasons = []
    candidates = sorted((spec.preference, spec.id) for spec in host.sandboxes if spec.preference is not None)
    for _, candidate in candidates:
        try:
            sandbox_class = host.sandboxes.load(candidate)
        except PluginError as error:
            reasons.append(f"  {candidate}: {error}")
            continue
        reason = sandbox_class.unavailable_reason()
        if reason is None:
            return candidate, sandbox_class
        reasons.append(f"  {candidate}: {reason}")
    raise SandboxUnavailableError(
        "No sandbox works on this machine:\n"
        + "\n".join(reasons)
        + "\n`mlgym doctor` says more. Code that you trust can run without isolation: --sandbox process."
    )
