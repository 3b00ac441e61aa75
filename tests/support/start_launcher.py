"""What PyDev runs: it has no way to run a module."""

from flask_debuglaunch.cli import main

main()
