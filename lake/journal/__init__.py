"""The record of truth: commits, refs, entries, objects, leases."""
