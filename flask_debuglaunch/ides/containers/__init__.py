"""The files that put the launcher into the place of an app's server in a container. What the
launcher finds out about the container that it runs in is in detect_environment.py."""
