"""The loss, what counts as an answer, and that nothing of the future is ever sent."""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np
import pytest

from mlgym_task_language.language_model_scoring import IllegalAnswer, answer_bytes, encoded, losses

VOCABULARY = 7
SEQUENCES = np.array([[6, 1, 2, 3, 4], [6, 5, 0, 6, 1]])


def even() -> np.ndarray:
    """Return a distribution for each sequence, in which all tokens are alike."""
    return np.full((len(SEQUENCES), VOCABULARY), -math.log(VOCABULARY))


def test_loss_is_the_negative_log_probability_of_what_came() -> None:
    generator = np.random.default_rng(1)
    logits = generator.normal(size=(4, 2, VOCABULARY))
    expected = logits - np.log(np.exp(logits).sum(axis=2, keepdims=True))
    answers = iter(expected)
    found = losses(SEQUENCES, VOCABULARY, lambda _: encoded(next(answers)))
    assert found.shape == (2, 4)
    for row in range(2):
        for step in range(4):
            wanted = -expected[step, row, SEQUENCES[row, step + 1]]
            assert found[row, step] == pytest.approx(wanted, abs=1e-6)


def test_even_belief_costs_the_logarithm_of_the_vocabulary() -> None:
    assert losses(SEQUENCES, VOCABULARY, lambda _: encoded(even())) == pytest.approx(math.log(VOCABULARY))


@pytest.mark.parametrize("step", range(5))
def test_changing_the_future_changes_nothing_that_was_sent_before(step: int) -> None:
    def sent(sequences: np.ndarray) -> list[bytes]:
        calls: list[bytes] = []

        def predict(tokens: bytes) -> str:
            calls.append(tokens)
            return encoded(even())

        losses(sequences, VOCABULARY, predict)
        return calls

    changed = SEQUENCES.copy()
    changed[:, step:] = (changed[:, step:] + 1) % VOCABULARY
    before, after = sent(SEQUENCES), sent(changed)
    assert len(before) == len(after) == 4
    # The last token is never sent.
    assert all(len(call) == 4 * len(SEQUENCES) for call in before)
    assert before[:step] == after[:step]
    assert all(first != second for first, second in zip(before[step:], after[step:], strict=True))


def test_a_token_is_sent_after_its_probability_was_said() -> None:
    revealed: list[list[int]] = []

    def predict(tokens: bytes) -> str:
        revealed.append(np.frombuffer(tokens, "<i4").tolist())
        assert revealed == SEQUENCES.T[: len(revealed)].tolist()
        return encoded(even())

    losses(SEQUENCES, VOCABULARY, predict)
    assert len(revealed) == 4


def test_what_rounding_adds_is_taken_out() -> None:
    generous = even() + math.log(1.0009)
    found = losses(SEQUENCES, VOCABULARY, lambda _: encoded(generous))
    assert found == pytest.approx(math.log(VOCABULARY), abs=1e-6)
    favourite = even()
    favourite[:, 1] = 0.0009
    favourite[:, [0, *range(2, VOCABULARY)]] = -50
    assert losses(SEQUENCES, VOCABULARY, lambda _: encoded(favourite)).min() >= 0


def with_value(value: float) -> np.ndarray:
    rows = even()
    rows[1, 3] = value
    return rows


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (None, "None; expected a string, base64.b64encode"),
        (0.5, "0.5; expected a string"),
        ([[0.0]], "a list; expected a string"),
        ({"a": 1}, "a dict; expected a string"),
        ("no base 64!", "a string that is not Base64"),
        ("é", "a string that is not Base64"),
        ("", "0 bytes; expected 56, which are 32-bit floats of the shape (2, 7)"),
        (encoded(even()[:1]), "28 bytes; expected 56"),
        (encoded(np.concatenate([even(), even()])), "112 bytes; expected 56"),
        (base64.b64encode(even().tobytes()).decode(), "112 bytes; expected 56"),
        (encoded(with_value(math.nan)), "nan for token 3 of sequence 1; expected the logarithm of a probability"),
        (encoded(with_value(-math.inf)), "-inf for token 3 of sequence 1"),
        (encoded(with_value(math.inf)), "inf for token 3 of sequence 1"),
        (encoded(with_value(3e38)), "probabilities for sequence 1 whose sum has the logarithm 3e+38"),
        (encoded(with_value(0.1)), "probabilities for sequence 1 whose sum"),
        (encoded(np.zeros((2, 7))), "whose sum has the logarithm 1.94591; expected 0 within 0.001"),
        (encoded(even() + 0.0011), "whose sum has the logarithm 0.0011"),
        (encoded(even() - 0.0011), "whose sum has the logarithm -0.0011"),
        (encoded(np.full((2, 7), -3e38)), "whose sum has the logarithm -3e+38"),
    ],
)
def test_anything_else_is_illegal_and_says_what_and_when(answer: Any, says: str) -> None:
    answers = iter([encoded(even()), answer])
    with pytest.raises(IllegalAnswer) as raised:
        losses(SEQUENCES, VOCABULARY, lambda _: next(answers))
    assert says in str(raised.value)
    assert str(raised.value).endswith("(in step 2 of 4)")


def test_answers_fit_in_what_is_announced() -> None:
    for sequences, vocabulary in ((1, 1), (2, 7), (32, 2048), (16, 50_257)):
        rows = np.zeros((sequences, vocabulary), np.float32)
        assert len(encoded(rows)) + 100 < answer_bytes(sequences, vocabulary)
