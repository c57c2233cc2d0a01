"""Benchmarks: scripts that print figures beside their targets and peers. No test is timed."""
