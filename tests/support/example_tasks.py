"""Small tasks for tests. A module of its own, since graders load it from disk like any task package."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from mlgym_core import Anchors, DataError, Grading, InvalidSubmission, Kept, Preparation, SubmissionFile, Task


class Number(Task):
    """The submission is a number; validation adds nothing to it, the test split 0.25."""

    def description(self) -> str:
        return "Write a number into answer.txt."

    def submission_files(self) -> Sequence[SubmissionFile]:
        return [SubmissionFile(path="answer.txt", max_bytes=100)]

    def anchors(self, split: str) -> Anchors:
        return Anchors(baseline=0.0, reference=1.0)

    def prepare(self, preparation: Preparation) -> None:
        (preparation.public / "answer.txt").write_text("0")
        (preparation.private / "secret.txt").write_text("the private file")

    def grade(self, grading: Grading) -> Mapping[str, float]:
        assert (grading.private / "secret.txt").read_text() == "the private file"
        text = (grading.submission / "answer.txt").read_text(errors="backslashreplace")
        print("graders may print")
        try:
            number = float(text)
        except ValueError:
            raise InvalidSubmission(f"answer.txt holds {text!r}, which is not a number.") from None
        return {"value": number + (0.25 if grading.split == "test" else 0.0), "seed": float(grading.seed % 1000)}


class Large(Number):
    """With more public files than are copied into each workspace."""

    def prepare(self, preparation: Preparation) -> None:
        super().prepare(preparation)
        folder = preparation.public / "data"
        folder.mkdir()
        for number in range(20):
            (folder / f"part-{number}").write_bytes(bytes([number]) * (1 << 20))


class Awaiting(Number):
    """Its data are a file that somebody has to bring: `arrived` in the working directory."""

    def prepare(self, preparation: Preparation) -> None:
        if not Path("arrived").exists():
            raise DataError("The file train.csv is not here: mlgym data import.")
        super().prepare(preparation)


class Broken(Number):
    """A grader with a bug."""

    def grade(self, grading: Grading) -> Mapping[str, float]:
        raise RuntimeError("a bug in the grader")


class Infinite(Number):
    """A grader whose result is no number."""

    def grade(self, grading: Grading) -> Mapping[str, float]:
        return {"value": float("inf")}


class Forgetful(Number):
    """A grader that forgets the primary metric."""

    def grade(self, grading: Grading) -> Mapping[str, float]:
        return {"other": 1.0}


class Hanging(Number):
    """A grader that hangs."""

    grading_seconds = 1.0

    def grade(self, grading: Grading) -> Mapping[str, float]:
        time.sleep(60)
        return {"value": 1.0}


class Patient(Hanging):
    """A grader that takes its time and may do so."""

    grading_seconds = 600.0


class Programs(Number):
    """Calls two functions of two submitted programs."""

    submission_processes = 2

    def submission_files(self) -> Sequence[SubmissionFile]:
        return [SubmissionFile(path="code/program.py")]

    def prepare(self, preparation: Preparation) -> None:
        (preparation.public / "code").mkdir()
        (preparation.public / "code" / "program.py").write_text("STATE = []\ndef f(*a):\n    return list(a)\n")

    def grade(self, grading: Grading) -> Mapping[str, float]:
        first, second = (grading.program("code/program.py", call_seconds=2.0) for _ in range(2))
        value = 0.0
        for program in (first, second):
            answer = program.call(
                "f", (1, 2), {"a": [None, True, "ü", b"x"]} if self.variant == "bytes" else {"a": 1.5}
            )
            value += 1.0 if answer == [[1, 2], {"a": 1.5}] else 0.0
        return {"value": value}


class Greedy(Programs):
    """Loads more programs than it declared."""

    submission_processes = 1


class Calls(Number):
    """Calls a submitted function 100,000 times."""

    submission_processes = 1

    def submission_files(self) -> Sequence[SubmissionFile]:
        return [SubmissionFile(path="program.py")]

    def grade(self, grading: Grading) -> Mapping[str, float]:
        program = grading.program("program.py")
        history = [(0, 1)] * 5
        return {"value": float(sum(program.call("f", history) for _ in range(100_000)))}


class Keeping(Calls):
    """Has a submitted program keep two values, and counts for how many calls they were what was sent."""

    def prepare(self, preparation: Preparation) -> None:
        (preparation.public / "program.py").write_text(
            "def f(first, number, second):\n"
            "    seen = [list(first), number, dict(second)]\n"
            "    first.clear(), second.clear()\n"
            "    return seen\n"
        )

    def grade(self, grading: Grading) -> Mapping[str, float]:
        program = grading.program("program.py")
        value = 0
        second = program.keep("second", {"a": (None, True, "ü")})
        for numbers in ([1, 2, 3], [4]):
            first = program.keep("first", numbers)
            for call in range(5):
                value += program.call("f", first, call, second) == [numbers, call, {"a": [None, True, "ü"]}]
        value += program.call("f", second, [5], second) == [["a"], [5], {"a": [None, True, "ü"]}]
        value += program.call("f", [5], 0, {}) == [[5], 0, {}]
        return {"value": float(value)}


class Careless(Calls):
    """Calls a submitted function with a value that it never had kept."""

    def prepare(self, preparation: Preparation) -> None:
        (preparation.public / "program.py").write_text("def f(value):\n    return 1\n")

    def grade(self, grading: Grading) -> Mapping[str, float]:
        program = grading.program("program.py")
        program.keep("one", 1)
        return {"value": float(program.call("f", Kept("another")))}


class Scripted(Number):
    """Its starter is a script that writes the submission; its scores have a limit and another metric in the paper."""

    baseline_script = "make answer.py"
    answers_public = True

    def anchors(self, split: str) -> Anchors:
        return Anchors(baseline=0.25, reference=1.0, implausible=5.0)

    def paper_anchors(self, split: str) -> Anchors:
        return Anchors(baseline=40.0, reference=20.0)

    def prepare(self, preparation: Preparation) -> None:
        super().prepare(preparation)
        (preparation.public / "answer.txt").unlink()
        script = "NUMBER = 0.25  # tunable: float 0 to 2\nopen('answer.txt', 'w').write(str(NUMBER))\n"
        (preparation.public / "make answer.py").write_text(script)

    def grade(self, grading: Grading) -> Mapping[str, float]:
        metrics = super().grade(grading)
        if metrics["value"] > 3:
            grading.flag("large")
            grading.flag("large")
        return {**metrics, "cost": 30.0}
