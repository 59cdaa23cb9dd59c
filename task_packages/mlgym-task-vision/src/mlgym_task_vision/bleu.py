"""BLEU, the score of captions, as sacreBLEU computes it. Runs in graders, whose Python has that package."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

SACREBLEU = "sacrebleu==2.6.0"
"""The requirement of graders: an exact version, so that the score never changes by itself."""

SIGNATURE = "nrefs:var|case:lc|eff:no|tok:13a|smooth:exp|version:2.6.0"
"""What sacreBLEU calls the settings below, for results to be compared with others."""


def corpus_bleu(captions: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Return the BLEU of captions as a whole, from 0 to 1 (sacreBLEU's own scale ends at 100).

    K. Papineni et al.: BLEU: a Method for Automatic Evaluation of Machine Translation (2002): the geometric mean of the
    precisions of sequences of one to four words, counted over all captions, times a penalty for captions that are
    shorter than the references that are closest in length. The settings are those of M. Post: A Call for Clarity in
    Reporting BLEU Scores (2018), with capitals made small: tokenizer `13a`, exponential smoothing of precisions that
    are zero, always four orders.

    Args:
        captions: One for each image.
        references: One or more for each image, in the same order.
    """
    from sacrebleu.metrics.bleu import BLEU

    most = max(map(len, references))
    # A stream for each place among an image's references. An empty text would count as a reference without words.
    streams = [[several[place] if place < len(several) else None for several in references] for place in range(most)]
    metric = BLEU(lowercase=True, tokenize="13a", smooth_method="exp", effective_order=False, max_ngram_order=4)
    return float(metric.corpus_score(list(captions), cast("list[list[str]]", streams)).score) / 100
