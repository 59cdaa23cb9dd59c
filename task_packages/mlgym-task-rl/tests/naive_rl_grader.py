"""A grader as one should not write it: the policies play in its own process, and are told its seed."""

import importlib
import sys

from mlgym_task_rl.policies import EPISODES, POLICIES
from mlgym_task_rl.simulation import Simulation


def main(folder: str, environment: str, seed: int) -> None:
    """Play, and print what the policies earn."""
    sys.path.insert(0, folder)
    policy = importlib.import_module("policy")
    simulation = Simulation(environment, POLICIES, EPISODES)
    observations = simulation.reset(seed)
    policy.reset(POLICIES, EPISODES, seed)
    while not simulation.is_over and simulation.steps < 3:
        observations = simulation.step(policy.act(observations.tobytes()).tolist())
    print("reward_mean", simulation.returns.mean())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], 7)
