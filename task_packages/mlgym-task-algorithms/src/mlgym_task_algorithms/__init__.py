"""Algorithms to be written by agents and measured by graders, as tasks of mlgym."""
