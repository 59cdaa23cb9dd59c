"""The agent `tree-search`: solutions as nodes of a tree, each a change of another one."""
