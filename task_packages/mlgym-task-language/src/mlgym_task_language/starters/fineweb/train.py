"""Trains the language model of model.py on the training documents and writes weights.safetensors.

The lines marked "tunable" declare parameters: values that may be changed within the range given there.
"""

import math
import sys
import time
from pathlib import Path

import numpy as np
import torch
from model import DEVICE, LanguageModel
from safetensors.torch import save_file
from torch.nn import functional

# How many batches of how many sequences are learned from.
STEPS = 250  # tunable: int 50 to 20000
SEQUENCES = 4  # tunable: int 1 to 64

# The model: layers, width of its vectors, and in how many ways it attends. The width is a multiple of the heads.
LAYERS = 2  # tunable: int 1 to 24
WIDTH = 128  # tunable: int 64 to 1024
HEADS = 4  # tunable: int 1 to 16

# Size of the steps; it grows over the first tenth of them and then falls to a tenth of its greatest value.
LEARNING_RATE = 0.003  # tunable: float 0.0001 to 0.02
WEIGHT_DECAY = 0.1  # tunable: float 0 to 1

LENGTH = 512
VOCABULARY = 2048
SEED = int(sys.argv[1]) if len(sys.argv) > 1 else 0

# Models of this size are trained no faster by several threads, which get in each other's way on a busy machine.
torch.set_num_threads(1)
torch.manual_seed(SEED)


def load_tokens() -> np.ndarray:
    """Return the training tokens but for the last of twenty parts, on which try_it.py tries the model."""
    files = sorted(Path().glob("train_*.npy"))
    tokens = np.concatenate([np.load(file, mmap_mode="r") for file in files])
    return tokens[: -(len(tokens) // 20)]


def draw(tokens: np.ndarray) -> torch.Tensor:
    """Return sequences from anywhere in the tokens, each with one token more than the model is given."""
    starts = torch.randint(len(tokens) - LENGTH - 1, (SEQUENCES,)).tolist()
    batch = np.stack([tokens[start : start + LENGTH + 1] for start in starts])
    return torch.from_numpy(batch.astype(np.int64)).to(DEVICE)


def learning_rate(step: int) -> float:
    """Return the size of a step, as a share of the greatest one."""
    warm_up = STEPS / 10
    if step < warm_up:
        return (step + 1) / (warm_up + 1)
    return 0.1 + 0.45 * (1 + math.cos(math.pi * (step - warm_up) / (STEPS - warm_up)))


def main() -> None:
    """Train and save."""
    tokens = load_tokens()
    model = LanguageModel(VOCABULARY, LENGTH, LAYERS, HEADS, WIDTH).to(DEVICE)
    decayed = [parameter for parameter in model.parameters() if parameter.ndim == 2]
    others = [parameter for parameter in model.parameters() if parameter.ndim != 2]
    groups = [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, learning_rate)
    began = time.monotonic()
    for step in range(STEPS):
        batch = draw(tokens)
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=DEVICE.type == "cuda"):
            logits = model(batch[:, :-1])
            loss = functional.cross_entropy(logits.flatten(0, 1).float(), batch[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 50 == 0 or step == STEPS - 1:
            print(f"step {step}: loss {loss.item():.3f} after {time.monotonic() - began:.0f} s", flush=True)
    save_file(model.state_dict(), "weights.safetensors", {"heads": str(HEADS)})


if __name__ == "__main__":
    main()
