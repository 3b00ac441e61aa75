"""`doctor`: why is my breakpoint not hit, and what do I type to mend it?

run_checks.py gathers the evidence and has the *_checks.py look, each check for one cause;
findings.py says what they find.
Nothing here serves the app; a new check is a function and a row of its file's CHECKS.
"""
