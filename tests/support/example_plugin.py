"""The plugin that registers the small tasks."""

from __future__ import annotations

from collections.abc import Iterator

from mlgym_core import Resources, TaskMetric, TaskSpec, hookimpl

EXAMPLES = (
    "Number",
    "Broken",
    "Infinite",
    "Forgetful",
    "Hanging",
    "Patient",
    "Programs",
    "Greedy",
    "Calls",
    "Keeping",
    "Careless",
)


class ExamplePlugin:
    """Registers the small tasks as `examples/…`."""

    MLGYM_API = 1

    @hookimpl
    def mlgym_tasks(self) -> Iterator[TaskSpec]:
        """Yield a spec for each."""
        metrics = (TaskMetric("value"), TaskMetric("seed"))
        for name in EXAMPLES:
            yield TaskSpec(f"examples/{name.lower()}", f"example_tasks:{name}", f"The task {name}", metrics=metrics)
        small = Resources(memory_bytes=256 << 20, processes=40, disk_bytes=64 << 20, cpus=0.5)
        yield TaskSpec(
            "examples/gpu", "example_tasks:Number", "Needs a GPU", metrics=metrics, resources=Resources(gpus=1)
        )
        yield TaskSpec("examples/network", "example_tasks:Number", "With a network", metrics=metrics, network=True)
        yield TaskSpec("examples/large", "example_tasks:Large", "With 20 MB of public files", metrics=metrics)
        yield TaskSpec(
            "examples/lines", "example_data:Lines", "Made of data", metrics=metrics, variants=("full", "trusted")
        )
        yield TaskSpec(
            "examples/scripted",
            "example_tasks:Scripted",
            "With a script",
            metrics=(TaskMetric("value"), TaskMetric("cost", "minimize")),
            paper_metric="cost",
        )
        yield TaskSpec(
            "examples/small", "example_tasks:Number", "Number with little of all", metrics=metrics, resources=small
        )
