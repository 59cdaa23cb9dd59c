"""Releases: all members of the workspace have one version, and are checked, built and tagged together.

`make release-check` and `make release VERSION=…` call this; docs/releasing.md says how a release is made.
"""
