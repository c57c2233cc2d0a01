"""Reads: BAM and SAM."""
