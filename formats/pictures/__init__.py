"""Pictures: how many pages they have, and of what size."""
