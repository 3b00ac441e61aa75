"""Modules that are imported ahead of a worker: which can be, what they do while they are imported,
and that the app can't tell the difference."""
