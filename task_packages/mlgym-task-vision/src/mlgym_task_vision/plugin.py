"""What this distribution registers with mlgym. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable

from mlgym_core import Resources, SuiteSpec, TaskMetric, TaskSpec, hookimpl
from mlgym_task_vision.bleu import SACREBLEU

MLGYM_API = 1

_METRICS = (TaskMetric("accuracy", "maximize"),)
_TORCH = ("numpy>=1.26", "torch>=2.2,<2.14")
_NUMPY = ("numpy>=1.26",)
_MEMORY = 8 << 30


@hookimpl
def mlgym_tasks() -> Iterable[TaskSpec]:
    """Register the four tasks."""
    yield TaskSpec(
        "vision/digits",
        "mlgym_task_vision.digits:Digits",
        "Recognise handwritten digits on images of 8 by 8 pixels",
        metrics=_METRICS,
        tags=("image-classification", "cpu"),
        requirements=_NUMPY,
        resources=Resources(memory_bytes=2 << 30),
    )
    yield TaskSpec(
        "vision/fashion-mnist",
        "mlgym_task_vision.fashion_mnist:FashionMnist",
        "Tell ten kinds of clothing apart on grey images of 28 by 28 pixels",
        metrics=_METRICS,
        tags=("image-classification", "deep-learning", "cpu"),
        variants=("full", "mini"),
        requirements=_TORCH,
        resources=Resources(memory_bytes=_MEMORY),
    )
    yield TaskSpec(
        "vision/cifar10",
        "mlgym_task_vision.cifar10:Cifar10",
        "Tell ten kinds of animals and vehicles apart on colour images of 32 by 32 pixels",
        metrics=_METRICS,
        tags=("image-classification", "deep-learning"),
        variants=("full", "mini"),
        requirements=_TORCH,
        resources=Resources(memory_bytes=_MEMORY),
    )
    yield TaskSpec(
        "vision/coco-captioning",
        "mlgym_task_vision.coco_captioning:CocoCaptioning",
        "Describe photographs in a sentence each",
        metrics=(TaskMetric("bleu", "maximize"),),
        tags=("image-captioning", "deep-learning", "gpu"),
        variants=("full", "mini"),
        requirements=_TORCH,
        grader_requirements=(SACREBLEU,),
        resources=Resources(memory_bytes=16 << 30),
    )


@hookimpl
def mlgym_suites() -> Iterable[SuiteSpec]:
    """Register the suite of the three tasks."""
    yield SuiteSpec(
        "vision",
        "Image classification, from 8 by 8 grey pixels to 32 by 32 coloured ones",
        tasks=("vision/digits", "vision/fashion-mnist", "vision/cifar10"),
    )
