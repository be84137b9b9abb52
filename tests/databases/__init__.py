"""What only the databases themselves can show; runs with ``make test-databases``."""
