"""Further tools for the agents of mlgym."""
