"""Docker and Podman containers as sandboxes of mlgym."""
