"""Which files the app is made from, and when they change. What follows from a change is the
supervisor's."""
