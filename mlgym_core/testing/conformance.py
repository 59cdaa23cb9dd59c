"""The conformance suites: one test for each check of `mlgym check`, and the rule that none can be left out silently.

A plugin's whole test file:

    from mlgym_core.testing import TaskConformance


    class TestProteinStability(TaskConformance):
        task = "biology/protein-stability"
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from mlgym_core.checks.selection import chosen_checks
from mlgym_core.host import Host

if TYPE_CHECKING:
    from mlgym_core.checks.findings import Finding

_FORBIDDEN_MARKS = frozenset(("skip", "skipif", "xfail"))


class _Sealed(type):
    """The type of suites and of what derives from them: their tests stay what they are, and are run."""

    def __setattr__(cls, name: str, value: Any) -> None:
        if name.startswith("test_"):
            raise TypeError(f"{cls.__name__} replaces {name}: name it in `known_gaps` instead.")
        if name == "pytestmark":
            _check_marks(cls.__name__, value)
        super().__setattr__(name, value)

    def __delattr__(cls, name: str) -> None:
        raise TypeError(f"{cls.__name__} removes {name}: name tests in `known_gaps` instead.")


def _check_marks(owner: str, marks: Any) -> None:
    for mark in marks if isinstance(marks, list | tuple) else (marks,):
        if mark.name in _FORBIDDEN_MARKS:
            raise TypeError(f"{owner} is marked `{mark.name}`: name tests in `known_gaps` instead.")


class Conformance(metaclass=_Sealed):
    """What all suites share: their tests cannot be replaced, removed or skipped.

    A test that is known to fail is named in `known_gaps` with the reason, and must then fail.

    Class attributes:
        known_gaps: Names of tests that are expected to fail, each with the reason.
    """

    known_gaps: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if not _is_of_the_kit(cls):
            _check_that_nothing_is_missing(cls)

    @pytest.fixture(autouse=True)
    def _expect_known_gaps(self, request: pytest.FixtureRequest) -> None:
        reason = self.known_gaps.get(getattr(request.node, "originalname", request.node.name))
        if reason is not None:
            request.applymarker(pytest.mark.xfail(reason=reason, strict=True))


def _is_of_the_kit(suite: type) -> bool:
    return suite.__module__.startswith("mlgym_core.testing.")


def _check_that_nothing_is_missing(suite: type[Conformance]) -> None:
    """Raise TypeError if a derived class lacks tests of its suite, or has others in their place."""
    bases = [base for base in suite.__mro__ if _is_of_the_kit(base)]
    # What is annotated are settings, which derived classes are there to give values to.
    fixed = {name for base in bases for name in vars(base) if name not in vars(base).get("__annotations__", {})}
    replaced = sorted(
        name
        for name in fixed
        if not name.startswith("__")
        and inspect.getattr_static(suite, name) is not inspect.getattr_static(bases[0], name)
    )
    owner = suite.__name__
    if replaced:
        raise TypeError(f"{owner} replaces {', '.join(replaced)}: name tests in `known_gaps` instead.")
    if unknown := {name for name in suite.known_gaps if name not in fixed or not name.startswith("test_")}:
        raise TypeError(f"{owner} knows gaps in {', '.join(sorted(unknown))}, which are no tests.")
    if unexplained := [name for name, reason in suite.known_gaps.items() if not reason.strip()]:
        raise TypeError(f"{owner} gives no reason for its gap in {', '.join(unexplained)}.")
    if vars(suite).get("__test__") is False or "__init__" in vars(suite):
        raise TypeError(f"{owner} hides its tests from pytest: remove `__test__` and `__init__`.")
    _check_marks(owner, vars(suite).get("pytestmark", ()))


class _ChecksAsTests(Conformance):
    """A suite whose tests are checks.

    Class attributes:
        plugins: Modules or objects to use, besides the core's own plugin, instead of what is installed.
        sandbox: `auto`, or the id of a sandbox, for what is run.
        pytestmark: Pytest's marks, of which this adds one.
    """

    plugins: ClassVar[Sequence[object]] = ()
    sandbox: ClassVar[str] = "auto"
    pytestmark: ClassVar[Any]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # With `pytest -n … --dist loadgroup`, one process makes the findings, for all tests of the class. Without the
        # plugin that has this mark, there is no such mark.
        if "xdist" in sys.modules and not _is_of_the_kit(cls):
            own = vars(cls).get("pytestmark", ())
            group = pytest.mark.xdist_group(f"{cls.__module__}.{cls.__qualname__}")
            cls.pytestmark = [*(own if isinstance(own, list | tuple) else (own,)), group]

    @pytest.fixture
    def findings(self) -> Mapping[str, Finding]:
        """The findings of all checks by name; they are made once for all tests of the class."""
        return _findings_of(type(self))

    @classmethod
    def _checked(cls) -> tuple[Any, str]:
        """Return kind and id of what is checked."""
        raise NotImplementedError

    @staticmethod
    def _judge(findings: Mapping[str, Finding], check: str) -> None:
        finding = findings[check]
        if finding.outcome == "failed":
            pytest.fail(f"{check}: {finding.detail}\n→ {finding.remedy}", pytrace=False)
        if finding.outcome == "skipped":
            pytest.skip(f"{check}: {finding.detail}")


@functools.cache
def _findings_of(suite: type[_ChecksAsTests]) -> Mapping[str, Finding]:
    kind, name = suite._checked()

    async def collected() -> list[Finding]:
        every = chosen_checks(
            Host.of(*suite.plugins) if suite.plugins else Host.installed(),
            [name],
            kinds=(kind,),
            variants=getattr(suite, "variants", ()),
            sandbox=suite.sandbox,
            options=getattr(suite, "options", {}),
        )
        return [finding for checks in every async for finding in checks.all()]

    found: dict[str, Finding] = {}
    for finding in asyncio.run(collected()):
        # Of several variants, what failed counts.
        if finding.check not in found or finding.outcome == "failed":
            found[finding.check] = finding
    return found


class TaskConformance(_ChecksAsTests):
    """What every task must be. Derive a class whose name begins with `Test`, and name the task.

    Class attributes:
        task: The task's id.
        variants: The variants to check; `mini`, or else the first, unless given.
    """

    task: ClassVar[str]
    variants: ClassVar[Sequence[str]] = ()

    @classmethod
    def _checked(cls) -> tuple[Any, str]:
        return "task", cls.task

    def test_its_modules_are_light(self, findings: Mapping[str, Finding]) -> None:
        self._judge(findings, "import")

    def test_its_description_is_complete(self, findings: Mapping[str, Finding]) -> None:
        self._judge(findings, "description")

    def test_its_scale_is_stated(self, findings: Mapping[str, Finding]) -> None:
        self._judge(findings, "anchors")

    def test_its_data_are_verified(self, findings: Mapping[str, Finding]) -> None:
        self._judge(findings, "data")

    def test_its_files_are_described(self, findings: Mapping[str, Finding]) -> None:
        self._judge(findings, "described files")

    def test_it_is_prepared_the_same_each_time(self, findings: Mapping[str, Finding]) -> None:
        self._judge(findings, "reproducible")

    def test_agents_see_nothing_private(self, findings: Mapping[str, Finding]) -> None:
        self._judge(findings, "private files")

    def test_its_baseline_lands_in_its_band(self, findings: Mapping[str, Finding]) -> None:
        self._judge(findings, "baseline")

    def test_its_grader_is_deterministic(self, findings: Mapping[str, Finding]) -> None:
        self._judge(findings, "deterministic")

    def test_better_submissions_score_better(self, findings: Mapping[str, Finding]) -> None:
        self._judge(findings, "direction")

    def test_malformed_submissions_are_named(self, findings: Mapping[str, Finding]) -> None:
        self._judge(findings, "malformed submissions")

    def test_forgery_wins_nothing(self, findings: Mapping[str, Finding]) -> None:
        self._judge(findings, "forgery")

    def test_grading_takes_its_time_and_no_more(self, findings: Mapping[str, Finding]) -> None:
        self._judge(findings, "grading time")

    def test_its_own_attacks_win_nothing(self, findings: Mapping[str, Finding]) -> None:
        for check in [name for name in findings if name.startswith("attack: ")]:
            if findings[check].outcome != "skipped":
                self._judge(findings, check)


class AgentConformance(_ChecksAsTests):
    """What every agent must do. Derive a class whose name begins with `Test`, and name the agent.

    Class attributes:
        agent: The agent's id.
        options: Its options, as for `mlgym run -A`.
    """

    agent: ClassVar[str]
    options: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def _checked(cls) -> tuple[Any, str]:
        return "agent", cls.agent

    def test_its_plugin_is_light(self, findings: Mapping[str, Finding]) -> None:
        self._judge(findings, "import")

    def test_its_options_are_documented(self, findings: Mapping[str, Finding]) -> None:
        self._judge(findings, "options")

    def test_it_plays(self, findings: Mapping[str, Finding]) -> None:
        self._judge(findings, "plays")

    def test_limits_end_it(self, findings: Mapping[str, Finding]) -> None:
        self._judge(findings, "ends")

    def test_a_confused_model_does_it_no_harm(self, findings: Mapping[str, Finding]) -> None:
        self._judge(findings, "confused model")

    def test_a_failing_model_is_no_score(self, findings: Mapping[str, Finding]) -> None:
        self._judge(findings, "failing model")

    def test_it_can_be_interrupted(self, findings: Mapping[str, Finding]) -> None:
        self._judge(findings, "interrupted")


class ToolConformance(_ChecksAsTests):
    """What every tool must do. Derive a class whose name begins with `Test`, and name the tool.

    Class attributes:
        tool: The tool's id.
    """

    tool: ClassVar[str]

    @classmethod
    def _checked(cls) -> tuple[Any, str]:
        return "tool", cls.tool

    def test_its_plugin_is_light(self, findings: Mapping[str, Finding]) -> None:
        self._judge(findings, "import")

    def test_models_are_told_what_it_does(self, findings: Mapping[str, Finding]) -> None:
        self._judge(findings, "schema")

    def test_it_answers(self, findings: Mapping[str, Finding]) -> None:
        self._judge(findings, "answers")

    def test_wrong_arguments_are_refused(self, findings: Mapping[str, Finding]) -> None:
        self._judge(findings, "wrong arguments")

    def test_hostile_arguments_do_no_harm(self, findings: Mapping[str, Finding]) -> None:
        self._judge(findings, "hostile arguments")

    def test_hostile_files_do_no_harm(self, findings: Mapping[str, Finding]) -> None:
        self._judge(findings, "hostile files")


class MetricConformance(_ChecksAsTests):
    """What must hold of every metric. Derive a class whose name begins with `Test`, and name the metric.

    Class attributes:
        metric: The metric's id.
    """

    metric: ClassVar[str]

    @classmethod
    def _checked(cls) -> tuple[Any, str]:
        return "metric", cls.metric

    def test_its_modules_are_light(self, findings: Mapping[str, Finding]) -> None:
        self._judge(findings, "import")

    def test_its_values_are_finite(self, findings: Mapping[str, Finding]) -> None:
        self._judge(findings, "values")

    def test_what_is_right_is_worth_most(self, findings: Mapping[str, Finding]) -> None:
        self._judge(findings, "direction")

    def test_the_order_of_rows_does_not_matter(self, findings: Mapping[str, Finding]) -> None:
        self._judge(findings, "order of rows")

    def test_it_is_the_same_each_time(self, findings: Mapping[str, Finding]) -> None:
        self._judge(findings, "repeatable")

    def test_constant_predictions_do_no_harm(self, findings: Mapping[str, Finding]) -> None:
        self._judge(findings, "constant predictions")

    def test_unequal_lengths_are_refused(self, findings: Mapping[str, Finding]) -> None:
        self._judge(findings, "lengths")


__all__ = ["AgentConformance", "Conformance", "MetricConformance", "TaskConformance", "ToolConformance"]
