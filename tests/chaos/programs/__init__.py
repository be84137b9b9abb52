"""The processes under test: ``python -m tests.chaos.programs.x '{...}'``."""
