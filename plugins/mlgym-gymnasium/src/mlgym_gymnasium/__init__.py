"""mlgym's tasks as Gymnasium environments.

Importing this package registers an environment for each installed task: `games/blotto` becomes
`mlgym/games-blotto-v0`, and `gymnasium.make("mlgym_gymnasium:mlgym/games-blotto-v0")` imports it on the way.
"""

from __future__ import annotations

import gymnasium

from mlgym_core import default_host
from mlgym_core.ids import slug

__all__ = ["environment_id", "register_installed_tasks"]


def environment_id(task_id: str) -> str:
    """Return the Gymnasium id of a task (`games/blotto` becomes `mlgym/games-blotto-v0`)."""
    return f"mlgym/{slug(task_id)}-v0"


def register_installed_tasks() -> list[str]:
    """Register an environment for each task that is installed and can be used; return their ids.

    The tasks themselves are imported when an environment is made.
    """
    ids = []
    for spec in default_host().tasks:
        name = environment_id(spec.id)
        if name not in gymnasium.registry:
            gymnasium.register(
                name,
                entry_point="mlgym_gymnasium.environment:TaskEnvironment",
                # Processes and clocks are part of an episode: equal seeds give equal gradings, not equal texts.
                nondeterministic=True,
                kwargs={"task": spec.id},
            )
        ids.append(name)
    return ids


register_installed_tasks()
