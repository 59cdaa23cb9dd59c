"""The language model: a small GPT, whose weights are in weights.safetensors, and the two functions that grading calls.

`train.py` trains it. To submit another model, keep `begin` and `predict`, and change the rest as you like.
"""

import base64
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import nn
from torch.nn import functional

WEIGHTS = Path(__file__).with_name("weights.safetensors")
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")

# What lasts from one call to the next: the model, the keys and values of earlier tokens, and how many there were.
STATE: dict[str, Any] = {}


class Block(nn.Module):  # type: ignore[misc]
    """Attention to what came before, and a layer that looks at each token for itself."""

    def __init__(self, width: int, heads: int) -> None:
        """Make a block of vectors with `width` numbers, which attends in `heads` ways."""
        super().__init__()
        self.heads = heads
        self.first_norm, self.second_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.Linear(width, 3 * width)
        self.attended = nn.Linear(width, width)
        self.inner, self.outer = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, vectors: torch.Tensor, memory: torch.Tensor | None, start: int) -> torch.Tensor:
        """Return the new vectors. What a memory remembers of earlier tokens is attended to, too."""
        sequences, length, width = vectors.shape
        parts = self.attention(self.first_norm(vectors)).view(sequences, length, 3, self.heads, -1)
        queries, keys, values = parts.permute(2, 0, 3, 1, 4)
        if memory is not None:
            memory[0, :, :, start : start + length] = keys
            memory[1, :, :, start : start + length] = values
            keys, values = memory[:, :, :, : start + length]
        # With a memory tokens come one by one, and each may look at all that are there.
        found = functional.scaled_dot_product_attention(queries, keys, values, is_causal=memory is None)
        vectors = vectors + self.attended(found.transpose(1, 2).reshape(sequences, length, width))
        return vectors + self.outer(functional.gelu(self.inner(self.second_norm(vectors))))


class LanguageModel(nn.Module):  # type: ignore[misc]
    """A decoder as that of GPT-2, whose input and output share their weights.

    Attributes:
        length: How many tokens it can look at.
    """

    def __init__(self, vocabulary: int, length: int, layers: int, heads: int, width: int) -> None:
        """Make a model with random weights."""
        super().__init__()
        self.length = length
        self.tokens, self.places = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
        self.blocks = nn.ModuleList([Block(width, heads) for _ in range(layers)])
        self.last_norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                # As in GPT-2, so that vectors do not grow with the number of layers.
                deep = name.endswith(("attended.weight", "outer.weight"))
                nn.init.normal_(parameter, std=0.02 / (2 * layers) ** 0.5 if deep else 0.02)

    def forward(self, tokens: torch.Tensor, memory: torch.Tensor | None = None, start: int = 0) -> torch.Tensor:
        """Return logits for the token after each of `tokens`, which are of the shape (sequences, length).

        Args:
            memory: What `new_memory` made, if tokens come one by one.
            start: How many tokens came before.
        """
        places = torch.arange(start, start + tokens.shape[1], device=tokens.device)
        vectors = self.tokens(tokens) + self.places(places)
        for number, block in enumerate(self.blocks):
            vectors = block(vectors, None if memory is None else memory[number], start)
        return functional.linear(self.last_norm(vectors), self.tokens.weight)

    def new_memory(self, sequences: int) -> torch.Tensor:
        """Return room for the keys and values of all tokens, so that none is computed twice."""
        block, width = self.blocks[0], self.places.embedding_dim
        shape = (len(self.blocks), 2, sequences, block.heads, self.length, width // block.heads)
        return torch.zeros(shape, device=self.places.weight.device)


def load() -> LanguageModel:
    """Return the trained model."""
    with safe_open(WEIGHTS, framework="pt", device=str(DEVICE)) as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dictionary
        heads = int(file.metadata()["heads"])
    vocabulary, width = weights["tokens.weight"].shape
    layers = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("blocks."))
    model = LanguageModel(vocabulary, len(weights["places.weight"]), layers, heads, width)
    model.to(DEVICE)
    model.load_state_dict(weights)
    return model


def begin(sequences: int, length: int, vocabulary: int) -> None:
    """Begin sequences of tokens, all at the same time.

    Args:
        sequences: How many there are.
        length: How many tokens each of them will have.
        vocabulary: How many tokens there are to choose from.
    """
    torch.set_num_threads(1)
    model = load()
    STATE.update(model=model, memory=model.new_memory(sequences), start=0)


def predict(tokens: bytes) -> str:
    """Return the log-probabilities of what comes after the given token of each sequence, and after all before it.

    Args:
        tokens: One for each sequence, as integers of 32 bits.

    Returns:
        32-bit floats of the shape (sequences, vocabulary), in Base64.
    """
    given = torch.from_numpy(np.frombuffer(tokens, np.int32).astype(np.int64)).to(DEVICE)
    with torch.no_grad():
        logits = STATE["model"](given[:, None], STATE["memory"], STATE["start"])[:, 0]
    STATE["start"] += 1
    log_probabilities = functional.log_softmax(logits.float(), dim=1).cpu().numpy()
    return base64.b64encode(log_probabilities.tobytes()).decode()
