"""What is said of a plugin that could not be loaded, or not completely: that is a finding, too."""

from __future__ import annotations

from collections.abc import Sequence

from mlgym_core.checks.findings import Check, CheckFailed, Checks
from mlgym_core.loading import PluginFailure

_REMEDIES = {
    "metadata": "Install the distribution again.",
    "import": "Mend the module, or the entry point in pyproject.toml that names it; install the package again if you "
    "changed that.",
    "api": "State the version of the hooks that the plugin is written for, such as `MLGYM_API = 1`, in its module.",
    "hooks": "Name hooks as mlgym-core does, and take no argument that it does not give: see the page on hooks.",
    "specs": "Mend the hook: it yields specs, and raises nothing.",
}


class PluginChecks(Checks):
    """The one check of a plugin with a failure, which always fails."""

    kind = "plugin"

    def __init__(self, failure: PluginFailure) -> None:
        super().__init__(failure.name)
        self._failure = failure

    def checks(self) -> Sequence[Check]:
        """Return the one that says what went wrong."""
        return (("loading", self._loading),)

    async def _loading(self) -> str:
        failure = self._failure
        raise CheckFailed(
            f"{failure.distribution} {failure.version} fails at stage {failure.stage}: {failure.error}",
            _REMEDIES.get(failure.stage, "Mend the plugin."),
        )
