"""`doctor`: why is my breakpoint not hit, and what do I type to mend it?

evidence.py gathers what the *_checks.py look at, each check for one cause; run_checks.py has them
look, and findings.py says what they find.
Nothing here serves the app; a new check is a function and a row of its file's CHECKS.
"""
