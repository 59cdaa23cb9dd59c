"""What comes with the core: ordinary implementations of the hooks, registered like anybody else's."""
