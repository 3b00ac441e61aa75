import sys

try:
    from flask_debuglaunch.cli import main

    main(prog_name="python -m flask_debuglaunch")
except (ImportError, AttributeError) as error:
    from flask_debuglaunch.shadowed_modules import shadowing_file

    shadowing = shadowing_file(error)
    if shadowing is None:
        raise
    advice = f"hides the module {shadowing.stem} that is needed here. Rename the file"
    print(f"Error: {shadowing}: {advice}", file=sys.stderr)
    sys.exit(2)
