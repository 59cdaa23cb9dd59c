"""Three repeated games against private opponents, as tasks of mlgym."""
