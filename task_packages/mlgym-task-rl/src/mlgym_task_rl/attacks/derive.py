"""Writes policies that derive the episodes of the maze from the public key, and play them knowing goal and place.

They know the code of mlgym: how graders' seeds follow from the key, and how the policies' seed follows from these. By
the latter they see which of some ten thousand runs they are in. Where the key is a secret, they find none, and go up.
"""

from pathlib import Path

DERIVING = '''
import hashlib
import json

KEY = hashlib.sha256(b"mlgym").digest()
# Small numbers, and days of two years.
RUNS = (*range(2_000), *range(20_250_101, 20_270_101))
REPEATS = 2


def candidates():
    """Yield the graders' seeds of runs whose seeds are easily guessed, as `derive_seed` and `Simulation` have them."""
    for run in RUNS:
        for repeat in range(REPEATS):
            for split in ("test", "validation"):
                for variant in ("mini", "full"):
                    text = json.dumps(["grader", run, "rl/meta-maze", variant, repeat, split]).encode()
                    yield int.from_bytes(hashlib.blake2b(text, key=KEY, digest_size=8).digest(), "big")


def told(seed):
    """Return what policies are told of a grader's seed."""
    return int.from_bytes(hashlib.blake2b(f"policies {seed}".encode(), digest_size=4).digest(), "big")


def reset(policies, episodes, seed):
    global SHAPE, COPY, CELLS, NEXT, DISTANCES
    SHAPE, COPY = (policies, episodes), None
    derived = next((candidate for candidate in candidates() if told(candidate) == seed), None)
    if derived is None:
        return
    COPY = Simulation("MetaMaze-misc", policies, episodes)
    COPY.reset(derived)
    free = np.asarray(COPY._environment.env_map)
    cells = np.argwhere(free)
    CELLS = np.full(free.shape, -1)
    CELLS[tuple(cells.T)] = np.arange(len(cells))
    led = CELLS[tuple((cells + np.asarray(COPY._environment.directions)[:, None]).transpose(2, 0, 1))]
    NEXT = np.where(led < 0, np.arange(len(cells)), led)
    DISTANCES = np.where(np.eye(len(cells), dtype=bool), 0, len(cells))
    for _ in cells:
        DISTANCES = np.minimum(DISTANCES, DISTANCES[NEXT].min(axis=0) + 1)


def act(observations):
    if COPY is None:
        return np.zeros(SHAPE, int)
    here, goal = (CELLS[tuple(np.asarray(cells).T)] for cells in (COPY._states.pos, COPY._states.goal))
    moves = DISTANCES[NEXT[:, here], goal].argmin(axis=0).reshape(SHAPE)
    COPY.step(moves.tolist())
    return moves
'''


def main() -> None:
    """Write the submission, with a simulator of its own in it."""
    texts = [Path(name).read_text(encoding="utf-8") for name in ("actions.py", "simulation.py")]
    future = "from __future__ import annotations\n"
    lines = [line for text in texts for line in text.splitlines(keepends=True)]
    inlined = "".join(line for line in lines if line != future and not line.startswith("from actions import"))
    Path("policy.py").write_text(f"{future}{inlined}\n{DERIVING}", encoding="utf-8")
    Path("weights.npz").write_bytes(b"none")


if __name__ == "__main__":
    main()
