"""The measured reference of `language/fineweb`, variant `mini`: counts of what followed which tokens. No network.

Run it in the task's workspace. It takes a second, since the weights are the training tokens: the model counts in them
when it is loaded (R. Kneser, H. Ney: Improved Backing-off for M-gram Language Modeling, 1995), and goes on counting in
the texts that are revealed to it (R. Kuhn, R. De Mori: A Cache-Based Natural Language Model, 1990).
"""

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

MODEL = '''
"""Counts of what followed which tokens: interpolated Kneser-Ney smoothing, and the same within each text."""

import base64
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

# Taken from each count, for contexts of one token, two tokens and so on, and given to shorter contexts.
DISCOUNTS = (0.7, 0.75, 0.8, 0.85, 0.85, 0.85)
OWN_DISCOUNTS = (0.97, 0.93, 0.85, 0.7, 0.6, 0.5)
FACTOR = np.uint64(6364136223846793005)


def extended(hashes, tokens):
    """Return the hashes of contexts that go one token further back."""
    return (hashes + tokens.astype(np.uint64) + np.uint64(1)) * FACTOR


class Counts:
    """How often which tokens followed the contexts of one length."""

    def __init__(self, hashes, followers, discount):
        self.discount = discount
        order = np.lexsort((followers, hashes))
        hashes, followers = hashes[order], followers[order]
        pairs = np.flatnonzero(np.append(True, (hashes[1:] != hashes[:-1]) | (followers[1:] != followers[:-1])))
        self.counts = np.diff(np.append(pairs, len(hashes))).astype(float)
        self.followers = followers[pairs]
        # One place for each pair of a context and what followed it, however often.
        self.places = order[pairs]
        self.starts = np.flatnonzero(np.append(True, np.diff(hashes[pairs]) != 0))
        self.contexts = hashes[pairs][self.starts]
        self.starts = np.append(self.starts, len(pairs))

    def mix(self, context, shorter):
        """Return probabilities after a context, from those after a shorter one."""
        place = np.searchsorted(self.contexts, context)
        if place == len(self.contexts) or self.contexts[place] != context:
            return shorter
        counts = self.counts[self.starts[place] : self.starts[place + 1]]
        mixed = shorter * (self.discount * len(counts) / counts.sum())
        mixed[self.followers[self.starts[place] : self.starts[place + 1]]] += (counts - self.discount) / counts.sum()
        return mixed


def begin(sequences, length, vocabulary):
    global TABLES, FIRST, TEXTS, OWN
    np.seterr(over="ignore")
    tokens = load_file(Path(__file__).with_name("weights.safetensors"))["tokens"]
    longest = len(DISCOUNTS)
    hashes = [np.zeros(len(tokens) - longest, np.uint64)]
    for back in range(1, longest + 1):
        hashes.append(extended(hashes[-1], tokens[longest - back : len(tokens) - back]))
    followers = tokens[longest:]
    TABLES, chosen = [], np.arange(len(followers))
    for size in range(longest, 0, -1):
        table = Counts(hashes[size][chosen], followers[chosen], DISCOUNTS[size - 1])
        # Shorter contexts count in how many longer ones something was seen, not how often.
        chosen = chosen[table.places]
        TABLES.insert(0, table)
    seen = np.bincount(followers[chosen], minlength=vocabulary) + 0.1
    FIRST = seen / seen.sum()
    TEXTS = [[] for _ in range(sequences)]
    OWN = [defaultdict(Counter) for _ in range(sequences)]


def predict(tokens):
    rows = []
    for text, own, token in zip(TEXTS, OWN, np.frombuffer(tokens, "<i4").tolist()):
        for size in range(1, min(len(text), len(OWN_DISCOUNTS)) + 1):
            own[tuple(text[-size:])][token] += 1
        text.append(token)
        probabilities, context = FIRST, np.zeros(1, np.uint64)
        for table, earlier in zip(TABLES, reversed(text)):
            context = extended(context, np.array([earlier]))
            probabilities = table.mix(context[0], probabilities)
        for size, discount in enumerate(OWN_DISCOUNTS, start=1):
            counts = own.get(tuple(text[-size:]))
            if counts is not None and size <= len(text):
                total = counts.total()
                probabilities = probabilities * (discount * len(counts) / total)
                for follower, count in counts.items():
                    probabilities[follower] += (count - discount) / total
        rows.append(np.log(probabilities))
    return base64.b64encode(np.array(rows, "<f4").tobytes()).decode()
'''

tokens = np.concatenate([np.load(path) for path in sorted(Path().glob("train_*.npy"))])
save_file({"tokens": tokens}, "weights.safetensors")
Path("model.py").write_text(MODEL.lstrip(), encoding="utf-8")
