"""Attacks on the tasks, as programs that `mlgym check` runs in an agent's workspace; each writes a submission."""
