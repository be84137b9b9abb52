"""Measurements against Apache Kafka: ``python -m benchmarks.key_order``."""
