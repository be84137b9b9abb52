"""What the server promises, held against real brokers, real processes and real kills.

Workers are processes that note what they start and finish; each scenario compares that with
what was produced.
"""
