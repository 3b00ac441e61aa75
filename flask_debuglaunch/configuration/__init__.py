"""From YAML, environment and command line to Settings: each value with its origin."""
