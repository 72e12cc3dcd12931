"""The kernel lab: what `minicnn bench` measures and shows."""
