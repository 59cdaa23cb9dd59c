"""The agent `exec`: any command-line agent, inside the sandbox."""
