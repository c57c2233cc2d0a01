"""Tests of files of arrays."""
