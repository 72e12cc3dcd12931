"""Puts this folder in the path of its two rooms; each runs in a process of its own (tests/test_cuda.py)."""
