"""Where objects' bytes lie: the only code that writes object bytes to a disk or a bucket."""
