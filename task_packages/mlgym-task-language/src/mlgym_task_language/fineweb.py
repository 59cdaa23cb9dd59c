"""Language models that are trained from nothing: the task `language/fineweb`."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from mlgym_core import (
    Anchors,
    Attack,
    Grading,
    InvalidSubmission,
    Preparation,
    SubmissionFile,
    Task,
    secret_order,
)
from mlgym_task_language.fineweb_variants import VARIANTS, Variant
from mlgym_task_language.language_model_data import (
    DJANGO_DOCUMENTATION,
    DOCUMENTS,
    END_OF_TEXT,
    FINEWEB,
    GPT2_VOCABULARY,
    HELD_OUT,
    TRAINING_SHARDS,
    VOCABULARY,
    training_shard,
)

if TYPE_CHECKING:
    import numpy as np

MODEL, WEIGHTS, SCRIPT = "model.py", "weights.safetensors", "train.py"
SPLITS = ("validation", "test")
MEMORISED_SHARE = 0.1
"""A grading is flagged `memorised_text` if more of its sequences than this count as recited."""

_TASK = "language/fineweb"
_PACKAGE = Path(__file__).parent
_STARTERS = _PACKAGE / "starters" / "fineweb"


class FineWeb(Task):
    """The task `language/fineweb`: a grader reveals held-out texts token by token, and a model predicts the next."""

    datasets = (FINEWEB, DJANGO_DOCUMENTATION, GPT2_VOCABULARY)
    submission_processes = 1
    # More than the submitted program may take, so that a slow one is told that it is slow.
    grading_seconds = 3600.0
    baseline_script = SCRIPT
    answers_public = True

    settings: ClassVar[Mapping[str, Variant]] = VARIANTS

    @property
    def _variant(self) -> Variant:
        return self.settings[self.variant]

    def grade(self, grading: Grading) -> Mapping[str, float]:
        """Ask the model for each token, and compute the loss here."""
        # Only graders have NumPy.
        import numpy as np

        from mlgym_task_language.language_model_scoring import IllegalAnswer, answer_bytes, losses

        variant = self._variant
        program = grading.program(
            MODEL,
            call_seconds=variant.call_seconds,
            total_seconds=variant.total_seconds,
            answer_bytes=answer_bytes(variant.sequences, variant.vocabulary),
        )
        program.call("begin", variant.sequences, variant.length, variant.vocabulary)
        tokens = np.load(grading.private / f"{grading.split}.npy", allow_pickle=False)
        try:
            found = losses(tokens, variant.vocabulary, lambda given: program.call("predict", given))
        except IllegalAnswer as error:
            raise InvalidSubmission(f"predict returned {error}.") from None
        by_sequence = [float(loss) for loss in found.mean(axis=1)]
        if sum(loss <= variant.recited for loss in by_sequence) > MEMORISED_SHARE * len(by_sequence):
            grading.flag("memorised_text")
        return {"val_loss": statistics.fmean(by_sequence)}

    def description(self) -> str:
        """Return what agents are told."""
        variant = self._variant
        return (
            (_PACKAGE / "fineweb.md")
            .read_text(encoding="utf-8")
            .format(
                text=variant.text,
                training_files=_listed(self._training_files()),
                vocabulary=f"{variant.vocabulary:,}",
                tokens_with_bytes=f"{variant.vocabulary - 1:,}",
                end_of_text=f"{variant.end_of_text:,}",
                sequences=variant.sequences,
                length=f"{variant.length:,}",
                predictions=f"{variant.sequences * variant.length:,}",
                weights_mebibytes=f"{variant.weights_bytes >> 20:,}",
                call_seconds=f"{variant.call_seconds:g}",
                total_seconds=f"{variant.total_seconds:,g}",
                starter_time=variant.starter_time,
                baseline=f"{variant.anchors['test'].baseline:g}",
            )
        )

    def submission_files(self) -> Sequence[SubmissionFile]:
        """Return the model's code, and its weights."""
        return (SubmissionFile(path=MODEL), SubmissionFile(path=WEIGHTS, max_bytes=self._variant.weights_bytes))

    def anchors(self, split: str) -> Anchors:
        """Return the ends of the scale."""
        return self._variant.anchors[split]

    def prepare(self, preparation: Preparation) -> None:
        """Hold documents out, and write the others, the vocabulary and the starter."""
        import numpy as np

        from mlgym_task_language.language_model_tokens import pack, stream

        variant, public = self._variant, preparation.public
        vocabulary = preparation.dataset(GPT2_VOCABULARY.name) / VOCABULARY
        if self.variant == "full":
            documents, training = self._web_pages(preparation.dataset(FINEWEB.name))
        else:
            documents = self._documentation(preparation.dataset(DJANGO_DOCUMENTATION.name), vocabulary)
            training = iter(())
        for split in SPLITS:
            np.save(preparation.private / f"{split}.npy", pack(documents, variant.sequences, variant.length + 1))
        # Of the documentation, what is not held out is for training.
        for name, tokens in zip(self._training_files(), training, strict=False):
            np.save(public / name, tokens)
        if self.variant != "full":
            np.save(public / training_shard(1), stream(documents))

        with vocabulary.open(encoding="ascii") as lines:
            kept = [line for line, _ in zip(lines, range(variant.vocabulary - 1), strict=False)]
        (public / VOCABULARY).write_text("".join(kept), encoding="ascii")
        for path in (_STARTERS / MODEL, _STARTERS / SCRIPT, _STARTERS / "try_it.py"):
            text = with_values(path.read_text(encoding="utf-8"), variant.starter_values)
            (public / path.name).write_text(text, encoding="utf-8")
        scoring = (_PACKAGE / "language_model_scoring.py").read_text(encoding="utf-8")
        (public / "scoring.py").write_text(scoring, encoding="utf-8")
        (public / "README.md").write_text(self.description(), encoding="utf-8")

    def oracle(self, private: Path, split: str, quality: float, submission: Path) -> bool:
        """Write a model that knows the text, and believes what it knows as far as `quality` says."""
        program = (_PACKAGE / "oracles" / "fineweb.py").read_text(encoding="utf-8")
        (submission / MODEL).write_text(with_values(program, {"QUALITY": str(quality)}), encoding="utf-8")
        (submission / WEIGHTS).write_bytes((private / f"{split}.npy").read_bytes())
        return True

    def attacks(self) -> Sequence[Attack]:
        """Return what an agent could try instead of predicting."""
        folder = _PACKAGE / "attacks"
        peeking = Attack(
            name="looks for the next token in whatever it was ever shown, and in the process's memory",
            program=folder / "fineweb_peek.py",
        )
        unnormalised = Attack(
            name="believes in every token as much as in all of them together",
            program=folder / "fineweb_unnormalised.py",
        )
        if self.variant == "full":
            return (peeking, unnormalised)
        memorising = Attack(
            name="recites a public copy of the texts",
            program=folder / "fineweb_recite.py",
            dataset=DJANGO_DOCUMENTATION.name,
            outcome="flagged",
        )
        return (peeking, unnormalised, memorising)

    def contamination(self) -> str:
        """Return what is known of the texts being public."""
        return (
            "All texts are public: FineWeb at Hugging Face, and Django's documentation on its web site and in its "
            "source distributions. Agents have no network, and neither their sandbox nor its packages hold them. A "
            "model whose weights hold the texts, or which was trained on them elsewhere, recognises a held-out text by "
            "its first words and recites it; nothing here can stop that. It is flagged where it shows: "
            "`implausible_score` if the loss is lower than such texts allow, `memorised_text` if more than a tenth of "
            f"the sequences have a loss of {self._variant.recited:g} or less. A model that blurs what it knows is not "
            "recognised."
        )

    # ------------------------------------------------------------------------------------------- texts

    def _training_files(self) -> list[str]:
        return [training_shard(number) for number in range(1, TRAINING_SHARDS + 1 if self.variant == "full" else 2)]

    def _web_pages(self, folder: Path) -> tuple[Iterator[np.ndarray], Iterator[np.ndarray]]:
        """Return the held-out documents in a secret order, and the training shards."""
        import numpy as np

        from mlgym_task_language.language_model_tokens import documents_of

        documents = documents_of(np.load(folder / HELD_OUT), END_OF_TEXT)
        # The last one may be cut off.
        documents.pop()
        order = secret_order(len(documents), task=_TASK, variant=self.variant, purpose="documents")
        training = (np.load(folder / name, mmap_mode="r") for name in self._training_files())
        return (documents[number] for number in order), training

    def _documentation(self, folder: Path, vocabulary: Path) -> Iterator[np.ndarray]:
        """Yield all documents in a secret order."""
        import numpy as np

        from mlgym_task_language.language_model_tokens import byte_pair_encoding, read_vocabulary

        encoding = byte_pair_encoding(read_vocabulary(vocabulary, self._variant.vocabulary))
        # Not `splitlines`, which also divides where a text has other separators than a line feed.
        lines = (folder / DOCUMENTS).read_text(encoding="utf-8").rstrip("\n").split("\n")
        texts = [json.loads(line)["text"] for line in lines]
        for number in secret_order(len(texts), task=_TASK, variant=self.variant, purpose="documents"):
            tokens = [self._variant.end_of_text, *encoding.encode_ordinary(texts[number])]
            yield np.array(tokens, np.uint16)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def with_values(text: str, values: Mapping[str, str]) -> str:
    """Return a program's text in which module-level names that it has are given other values.

    What stands behind a value, such as the declaration of a range, is kept.
    """
    lines = text.splitlines(keepends=True)
    for place, line in enumerate(lines):
        name, is_assigned, rest = line.partition(" = ")
        if is_assigned and name in values:
            _, comment, range_ = rest.partition("  #")
            lines[place] = f"{name} = {values[name]}{comment}{range_}" if comment else f"{name} = {values[name]}\n"
    return "".join(lines)
