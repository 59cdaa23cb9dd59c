"""Normalisation and rewards."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, strategies as st

from mlgym_core import Anchors, UsageError
from mlgym_core.rewards import HIGHEST, LOWEST, RewardLedger, clip, normalize
from mlgym_core.specs import Direction

scores = st.one_of(st.none(), st.floats(-10, 10))


@given(validations=st.lists(scores, max_size=30), final=scores)
def test_the_return_is_what_was_submitted_whatever_was_validated(
    validations: list[float | None], final: float | None
) -> None:
    ledger = RewardLedger("improvement", floor=-0.1)
    rewards = [ledger.validation(score) for score in validations]
    assert all(reward >= 0 for reward in rewards)
    rewards.append(ledger.final(final))
    worth = -0.1 if final is None else clip(final)
    assert math.fsum(rewards) == pytest.approx(worth, abs=1e-9)
    assert ledger.paid == pytest.approx(worth, abs=1e-9)


def test_validations_pay_improvements_only() -> None:
    ledger = RewardLedger("improvement", floor=-0.1)
    assert [ledger.validation(score) for score in (-0.5, 0.25, 0.1, None, 0.75, 99.0)] == [0, 0.25, 0, 0, 0.5, 1.25]
    assert ledger.final(0.5) == pytest.approx(0.5 - 2.0)


def test_the_final_scheme_pays_at_the_end_only() -> None:
    ledger = RewardLedger("final", floor=-0.1)
    assert ledger.validation(0.7) == 0
    assert ledger.final(0.7) == pytest.approx(0.7)


@pytest.mark.parametrize(("baseline", "reference"), [(0.5, 0.9), (10.0, 2.0), (-0.248, 0.248)])
def test_baseline_is_0_and_reference_is_1(baseline: float, reference: float) -> None:
    anchors = Anchors(baseline=baseline, reference=reference)
    direction: Direction = "maximize" if reference > baseline else "minimize"
    assert normalize(baseline, anchors, direction) == 0
    assert normalize(reference, anchors, direction) == 1
    assert normalize((baseline + reference) / 2, anchors, direction) == pytest.approx(0.5)


@pytest.mark.parametrize(("direction", "better"), [("maximize", 5.0), ("minimize", 1.0)])
def test_a_scale_stands_in_for_a_reference(direction: Direction, better: float) -> None:
    anchors = Anchors(baseline=3.0, scale=2.0)
    assert normalize(better, anchors, direction) == 1


def test_distance_to_an_optimum_counts_by_its_logarithm() -> None:
    anchors = Anchors(baseline=1.0, reference=0.01, optimum=0.0, epsilon=1e-4)
    assert normalize(0.1, anchors, "minimize") == pytest.approx(0.5)
    assert normalize(1e-9, anchors, "minimize") == pytest.approx(2.0)
    assert normalize(0.0, anchors, "minimize") == pytest.approx(2.0)


def test_rewards_are_clipped_but_scores_are_not() -> None:
    anchors = Anchors(baseline=0.0, reference=1.0)
    assert normalize(50.0, anchors, "maximize") == 50
    assert clip(50.0) == HIGHEST
    assert clip(-50.0) == LOWEST


@pytest.mark.parametrize("anchors", [Anchors(baseline=1.0), Anchors(baseline=1.0, reference=1.0)])
def test_anchors_without_a_scale_are_refused(anchors: Anchors) -> None:
    with pytest.raises(UsageError, match="scale"):
        normalize(1.0, anchors, "maximize")
