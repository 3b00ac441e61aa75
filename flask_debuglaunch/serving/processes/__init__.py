"""The processes of a launch: how they are started, what they inherit, and how they end. When that
happens is decided in supervisor_states.py."""
