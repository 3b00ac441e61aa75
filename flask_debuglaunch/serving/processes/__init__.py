"""The processes of a launch: how they are started, what they inherit, how they speak and end. When
that happens is decided in supervisor_states.py."""
