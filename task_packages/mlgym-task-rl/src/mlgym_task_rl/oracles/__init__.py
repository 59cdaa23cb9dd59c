"""Rules of a known quality, by which `mlgym check` sees that better policies score better. No agent sees them."""
