"""The debuggers: a new one is a file here and a line in known_debuggers.py. Nothing here knows
Flask, the settings or the supervisor."""
