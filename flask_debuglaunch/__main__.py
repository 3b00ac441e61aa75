from flask_debuglaunch.cli import main

main(prog_name="python -m flask_debuglaunch")
