"""From YAML, environment and command line to Settings, each value with its origin. What follows
from them is decided in plan.py; nothing is started or served here."""
