"""A BERT with weights that were trained before, in plain torch, and a classifier on top of it.

See J. Devlin et al.: BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding (2019).
"""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

WIDTH, HEADS, INNER_WIDTH, VOCABULARY, POSITIONS = 384, 12, 1536, 30_522, 512
"""Of all-MiniLM-L6-v2, from its `config.json`. It has six layers."""
EPSILON = 1e-12

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Attention(nn.Module):  # type: ignore[misc]
    """Each token gathers from all others what it finds useful. Vectors have the shape (texts, tokens, WIDTH)."""

    def __init__(self) -> None:
        """Make the parts under the names that the published weights have."""
        super().__init__()
        self.self = nn.ModuleDict({name: nn.Linear(WIDTH, WIDTH) for name in ("query", "key", "value")})
        self.output = nn.ModuleDict({"dense": nn.Linear(WIDTH, WIDTH), "LayerNorm": nn.LayerNorm(WIDTH, EPSILON)})

    def forward(self, vectors: torch.Tensor, visible: torch.Tensor, dropout: float) -> torch.Tensor:
        """Return the vectors with what was gathered. `visible` is (texts, 1, 1, tokens): False for padding."""
        query, key, value = (
            self.self[name](vectors).unflatten(-1, (HEADS, WIDTH // HEADS)).transpose(1, 2)
            for name in ("query", "key", "value")
        )
        found = functional.scaled_dot_product_attention(query, key, value, visible, dropout)
        found = self.output["dense"](found.transpose(1, 2).flatten(2))
        normalised: torch.Tensor = self.output["LayerNorm"](vectors + functional.dropout(found, dropout))
        return normalised


class Layer(nn.Module):  # type: ignore[misc]
    """Attention, and a network that is applied to each token's vector alone."""

    def __init__(self) -> None:
        """Make the parts under the names that the published weights have."""
        super().__init__()
        self.attention = Attention()
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(WIDTH, INNER_WIDTH)})
        self.output = nn.ModuleDict({"dense": nn.Linear(INNER_WIDTH, WIDTH), "LayerNorm": nn.LayerNorm(WIDTH, EPSILON)})

    def forward(self, vectors: torch.Tensor, visible: torch.Tensor, dropout: float) -> torch.Tensor:
        """Return the vectors after this layer."""
        vectors = self.attention(vectors, visible, dropout)
        found = self.output["dense"](functional.gelu(self.intermediate["dense"](vectors)))
        normalised: torch.Tensor = self.output["LayerNorm"](vectors + functional.dropout(found, dropout))
        return normalised


class Bert(nn.Module):  # type: ignore[misc]
    """The embeddings of tokens, of positions and of the two texts, and the lowest so many layers."""

    def __init__(self, layers: int) -> None:
        """Make the parts under the names that the published weights have."""
        super().__init__()
        self.embeddings = nn.ModuleDict(
            {
                "word_embeddings": nn.Embedding(VOCABULARY, WIDTH),
                "position_embeddings": nn.Embedding(POSITIONS, WIDTH),
                "token_type_embeddings": nn.Embedding(2, WIDTH),
                "LayerNorm": nn.LayerNorm(WIDTH, EPSILON),
            }
        )
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(Layer() for _ in range(layers))})

    def forward(self, tokens: torch.Tensor, kinds: torch.Tensor, dropout: float = 0.0) -> torch.Tensor:
        """Return the vectors of all tokens, of the shape (texts, tokens, WIDTH).

        Args:
            tokens: Of the shape (texts, tokens); 0 is padding.
            kinds: Of the same shape: 0 in the first text of a pair, 1 in the second.
            dropout: Share of numbers that are left out at random in training.
        """
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        vectors = (
            self.embeddings["word_embeddings"](tokens)
            + self.embeddings["position_embeddings"](positions)
            + self.embeddings["token_type_embeddings"](kinds)
        )
        vectors = functional.dropout(self.embeddings["LayerNorm"](vectors), dropout)
        visible = (tokens != 0)[:, None, None, :]
        for layer in self.encoder["layer"]:
            vectors = layer(vectors, visible, dropout)
        return vectors


def pretrained(path: Path, layers: int) -> Bert:
    """Return the lowest layers of the published model, with its weights."""
    model = Bert(layers)
    weights = load_file(path)
    model.load_state_dict({name: weights[name] for name in model.state_dict()})
    return model


class Classifier(nn.Module):  # type: ignore[misc]
    """A label for each pair of texts, from the vectors that BERT has of its tokens."""

    def __init__(self, bert: Bert, labels: int) -> None:
        """Put a new layer on top."""
        super().__init__()
        self.bert = bert
        self.top = nn.Linear(2 * WIDTH, labels)

    def forward(self, tokens: torch.Tensor, kinds: torch.Tensor, dropout: float = 0.0) -> torch.Tensor:
        """Return a number for each label, of the shape (texts, labels)."""
        vectors = self.bert(tokens, kinds, dropout)
        there = (tokens != 0)[:, :, None].to(vectors.dtype)
        mean = (vectors * there).sum(dim=1) / there.sum(dim=1)
        labels: torch.Tensor = self.top(functional.dropout(torch.cat([vectors[:, 0], mean], dim=1), dropout))
        return labels
