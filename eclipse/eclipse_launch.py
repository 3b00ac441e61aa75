# Eclipse starts files, not modules: this is `python -m flask_debuglaunch` for it.
from flask_debuglaunch.cli import main

if __name__ == "__main__":
    main()
