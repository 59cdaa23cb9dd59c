"""Language as tasks of mlgym."""
