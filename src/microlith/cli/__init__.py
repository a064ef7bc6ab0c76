"""The commands. Nothing else prints; each command equals a Python function of the same name and meaning."""
