"""Grading: the grader's process, the submission processes, and the wires between them and us."""
