"""The benchmark of mlgym: its thirteen tasks as suites."""
