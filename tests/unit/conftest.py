"""How hypothesis works here: a loaded machine is no reason for a test to fail."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("kafka_patterns", deadline=None)
settings.load_profile("kafka_patterns")
