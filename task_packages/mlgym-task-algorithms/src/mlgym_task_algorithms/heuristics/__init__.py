"""Heuristics of our own, each a complete submission. The ends of the scale are measured on them; no agent sees them."""
