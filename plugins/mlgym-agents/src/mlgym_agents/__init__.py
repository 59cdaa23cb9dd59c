"""Language-model agents for mlgym."""
