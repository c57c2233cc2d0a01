"""Signals and features in UCSC files: BigWig and BigBed."""
