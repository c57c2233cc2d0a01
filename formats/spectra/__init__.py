"""Spectra: mass spectrometry files, their tables, regions and slices."""
