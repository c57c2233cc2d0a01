"""Mutated input for everything that reads input: `python -m tests.fuzz --seconds N [--target NAME]` runs for long."""
