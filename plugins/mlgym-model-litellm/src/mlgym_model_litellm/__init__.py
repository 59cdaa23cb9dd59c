"""Language models of every provider that LiteLLM knows, for mlgym."""
