"""What the rest of the library needs of Kafka (``base``), and what gives it (``kafka_python``)."""
