"""Reinforcement learning as tasks of mlgym: policies for simulators that the grader owns."""
