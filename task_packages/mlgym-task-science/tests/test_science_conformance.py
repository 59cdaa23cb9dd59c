"""The task is what mlgym expects of one: a test for each check of `mlgym check`."""

from mlgym_core.testing import TaskConformance

pytest_plugins = ["mlgym_core.testing.fixtures"]


class TestNuclearMasses(TaskConformance):
    task = "science/nuclear-masses"
