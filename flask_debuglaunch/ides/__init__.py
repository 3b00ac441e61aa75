"""The files that IDEs need: a new IDE is a file here and a line in generate_files.py. Texts come in
and go out; reading and writing them is atomic_file_changes.py's."""
