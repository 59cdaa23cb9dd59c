"""The tasks of mlgym as Gymnasium environments."""
