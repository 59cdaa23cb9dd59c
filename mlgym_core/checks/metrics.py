"""The checks of a metric: what must hold of any, on numbers, labels and texts."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Sequence
from typing import Any

from mlgym_core.checks.findings import Check, CheckFailed, Checks
from mlgym_core.checks.importing import check_import
from mlgym_core.host import Host
from mlgym_core.interfaces import Metric
from mlgym_core.loading import one_line

_COUNT = 60
_SHARES = (0.1, 0.5, 1.0)
"""Of the predictions that are made wrong."""
_TOLERANCE = 1e-9

_REMEDY_VALUES = "Raise ValueError where the metric is not defined, and return a finite float elsewhere."


def _families() -> dict[str, tuple[list[Any], list[Any]]]:
    """Return, for each kind of values, references and the same number of predictions that are all wrong."""
    generator = random.Random(0)  # noqa: S311
    numbers = [round(generator.uniform(0.05, 0.95), 6) for _ in range(_COUNT)]
    words = ["salt", "wind", "stone", "river", "cloud", "ember", "frost", "grain"]
    texts = [" ".join(generator.choices(words[:4], k=6)) for _ in range(_COUNT)]
    other_texts = [" ".join(generator.choices(words[4:], k=6)) for _ in range(_COUNT)]
    return {
        "numbers": (numbers, [number + 5 * (1 + index % 7) for index, number in enumerate(numbers)]),
        "0 and 1": ([index % 2 for index in range(_COUNT)], [(index + 1) % 2 for index in range(_COUNT)]),
        "labels": ([words[index % 4] for index in range(_COUNT)], [words[(index + 1) % 4] for index in range(_COUNT)]),
        "texts": (texts, other_texts),
    }


class MetricChecks(Checks):
    """The checks of a metric. Run `all`.

    They are made on each kind of values that the metric accepts: numbers, 0 and 1, labels and texts.
    """

    kind = "metric"

    def __init__(self, host: Host, metric_id: str) -> None:
        super().__init__(metric_id)
        self._host = host
        self._entry = host.metrics.entry(metric_id)
        self._sign = 1 if self._entry.spec.direction == "maximize" else -1

    def checks(self) -> Sequence[Check]:
        """Return the checks of every metric."""
        return (
            ("import", self._import),
            ("values", self._values),
            ("direction", self._direction),
            ("order of rows", self._order),
            ("repeatable", self._repeatable),
            ("constant predictions", self._constant),
            ("lengths", self._lengths),
        )

    async def _import(self) -> str:
        return await check_import(self._entry, target=True)

    async def _values(self) -> str:
        said = []
        for name, (references, wrong) in self._accepted().items():
            perfect, worst = self._compute(references, references), self._compute(references, wrong)
            said.append(f"{name} {perfect:.4g} (all right) and {worst:.4g} (all wrong)")
        return "; ".join(said)

    async def _direction(self) -> str:
        for name, (references, wrong) in self._accepted().items():
            values = [self._compute(references, references)]
            for share in _SHARES:
                count = round(share * len(references))
                values.append(self._compute(references, [*wrong[:count], *references[count:]]))
            signed = [self._sign * value for value in values]
            if signed[0] < max(signed) - _TOLERANCE or signed[0] <= signed[-1]:
                listed = ", ".join(f"{value:.6g}" for value in values)
                raise CheckFailed(
                    f"{name}: with none, 10 %, 50 % and all of the predictions wrong it is {listed}, and it is to be "
                    f"{self._entry.spec.direction}d",
                    "Mend `compute`, or the `direction` of the spec.",
                )
        return f"what is right is worth most, and it is to be {self._entry.spec.direction}d"

    async def _order(self) -> str:
        for name, (references, wrong) in self._accepted().items():
            mixed = [*wrong[: _COUNT // 3], *references[_COUNT // 3 :]]
            order = random.Random(1).sample(range(_COUNT), _COUNT)  # noqa: S311
            first = self._compute(references, mixed)
            second = self._compute([references[place] for place in order], [mixed[place] for place in order])
            if not math.isclose(first, second, rel_tol=1e-6, abs_tol=_TOLERANCE):
                raise CheckFailed(
                    f"{name}: the same rows in another order make {second:.6g} of {first:.6g}",
                    "Compare pairs; their order says nothing.",
                )
        return "the order of the rows does not matter"

    async def _repeatable(self) -> str:
        for name, (references, wrong) in self._accepted().items():
            given = (copy.deepcopy(references), copy.deepcopy(wrong))
            first = self._metric().compute(*given)
            if type(first) is not float:
                raise CheckFailed(f"{name}: it returns {first!r}, a {type(first).__name__}", "Return a float.")
            if given != (references, wrong):
                raise CheckFailed(f"{name}: it changes what it is given", "Work on copies.")
            if self._metric().compute(*given) != first:
                raise CheckFailed(f"{name}: it is another number each time", "Leave chance out of it.")
        return "it is the same float each time, and changes nothing"

    async def _constant(self) -> str:
        """Look at predictions, and references, that are all the same."""
        for name, (references, _) in self._accepted().items():
            constant = [references[0]] * len(references)
            for what, first, second in (
                ("predictions", references, constant),
                ("references", constant, references),
                ("references and predictions", constant, constant),
            ):
                try:
                    value = self._metric().compute(first, second)
                except ValueError:
                    continue
                except Exception as error:  # noqa: BLE001 - a stranger's code raises anything
                    raise CheckFailed(f"{name}: {what} all equal: {one_line(error)}", _REMEDY_VALUES) from None
                if not math.isfinite(value):
                    raise CheckFailed(f"{name}: {what} all equal make it {value}", _REMEDY_VALUES)
        return "predictions and references that are all the same are no problem"

    async def _lengths(self) -> str:
        name, (references, _) = next(iter(self._accepted().items()))
        for first, second in ((references, references[:-1]), (references[:-1], references), ([], [])):
            try:
                value = self._metric().compute(first, second)
            except ValueError:
                continue
            except Exception as error:  # noqa: BLE001 - likewise
                said = one_line(error)
            else:
                said = f"it returns {value!r}"
            raise CheckFailed(
                f"{name}: {len(first)} references and {len(second)} predictions: {said}", "Raise ValueError."
            )
        return "unequal lengths, and nothing at all, are refused"

    def _metric(self) -> Metric:
        return self._host.metrics.load(self.id)()

    def _accepted(self) -> dict[str, tuple[list[Any], list[Any]]]:
        """Return the kinds of values that the metric can compare."""
        accepted, said = {}, []
        for name, (references, wrong) in _families().items():
            try:
                self._metric().compute(list(references), list(references))
                self._metric().compute(list(references), list(wrong))
            except Exception as error:  # noqa: BLE001 - likewise
                said.append(f"{name}: {one_line(error)}")
                continue
            accepted[name] = (references, wrong)
        if not accepted:
            raise CheckFailed(f"it accepts nothing that was tried: {'; '.join(said)}", "Mend `compute`.")
        return accepted

    def _compute(self, references: Sequence[Any], predictions: Sequence[Any]) -> float:
        # Copies, since a metric that changes them would spoil the other checks.
        value = self._metric().compute(list(references), list(predictions))
        if not isinstance(value, float | int) or not math.isfinite(value):
            raise CheckFailed(f"it returns {value!r}", _REMEDY_VALUES)
        return float(value)
