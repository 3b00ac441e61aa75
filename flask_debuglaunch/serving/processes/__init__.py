"""The processes of a launch: how they are started, what they inherit, how they speak and end. When
that happens is decided in supervisor_states.py."""

CHILD_MARKER = "_FLASK_DEBUGLAUNCH_CHILD"
"""The variable in which a child of our own finds what it inherits (socket_inheritance.py). The app
never sees it."""
