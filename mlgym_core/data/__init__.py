"""Datasets: where they come from, how their content is verified, and the cache that holds them."""
