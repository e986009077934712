"""The routes, one module a resource. Each declares every status that it can answer; a test compares."""
