import sys

try:
    from flask_debuglaunch.cli import main

    main(prog_name="python -m flask_debuglaunch")
except (ImportError, AttributeError) as error:
    from flask_debuglaunch.shadowed_modules import shadowing_file

    file = shadowing_file(error)
    if file is None:
        raise
    text = f"hides the module {file.stem} that is needed here. Rename the file"
    print(f"Error: {file}: {text}", file=sys.stderr)
    sys.exit(2)
