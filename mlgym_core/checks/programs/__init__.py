"""Programs that checks run in agents' sandboxes, where there may be nothing but Python's standard library."""
