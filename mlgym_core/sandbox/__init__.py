"""Places for hostile processes: the sandboxes that come with the core, and what all sandboxes share."""
