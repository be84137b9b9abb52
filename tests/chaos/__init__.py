"""Faults of all kinds at once, drawn from a seed, under a load whose every record is accounted for.

A plan says which fault strikes whom and when; the nemesis carries it out; the checker compares
what the processes noted with what ``docs/explanation/guarantees.md`` promises.
"""
