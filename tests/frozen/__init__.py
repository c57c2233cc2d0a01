"""A lake as version 1 of the format left it: what is on disk now must be read by every version to come."""
