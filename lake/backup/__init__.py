"""Backups: a complete lake in another directory, made while others write, checked, and made a lake again."""
