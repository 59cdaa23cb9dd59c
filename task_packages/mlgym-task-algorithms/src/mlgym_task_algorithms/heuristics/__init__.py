"""Heuristics of our own, written like submissions. The ends of the scale are measured on them; no agent sees them."""
