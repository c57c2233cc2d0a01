"""Tables in everyday formats: delimited text, JSON, Parquet. How many rows and which columns they have."""
