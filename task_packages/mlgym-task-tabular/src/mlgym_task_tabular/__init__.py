"""Predicting prices of houses and the fate of passengers from tables, as tasks of mlgym."""
