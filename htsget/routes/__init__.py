"""The interfaces, one a module: each has a ``router``. Handlers parse, make one call, and answer."""
