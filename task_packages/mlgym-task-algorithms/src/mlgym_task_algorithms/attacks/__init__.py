"""Attacks on the task, as programs that `mlgym check` runs in an agent's workspace; each writes a `heuristic.py`."""
