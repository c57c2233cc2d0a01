"""What a lake stands on, looked at and tried out: the machine, the disk, the lake itself."""
