"""Tasks of mlgym from the sciences."""
