"""Which files the app is made from, and when they change."""
