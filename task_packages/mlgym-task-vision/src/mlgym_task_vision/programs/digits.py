"""Writes scikit-learn's bundled digits as digits.csv: 64 pixels, row by row, and the label. Runs on its own."""

from pathlib import Path

from sklearn.datasets import load_digits

digits = load_digits()
lines = [
    ",".join(str(int(value)) for value in (*pixels, label))
    for pixels, label in zip(digits.data, digits.target, strict=True)
]
Path("digits.csv").write_text("".join(f"{line}\n" for line in lines))
