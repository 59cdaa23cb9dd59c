"""What `mlgym check` looks at: whether a task is what the framework expects of one, and withstands attacks."""
