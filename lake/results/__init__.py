"""Answers of SQL queries: asked with limits, taken in batches, written in the form that is wanted."""
