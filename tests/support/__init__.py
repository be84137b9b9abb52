"""What the tests run against and wait with: brokers, processes, polling."""
