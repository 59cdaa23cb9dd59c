"""All that a submission process has of mlgym: the wire, and the loop that serves calls. Standard library only."""
