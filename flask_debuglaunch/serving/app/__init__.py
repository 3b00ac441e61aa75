"""The app: found, imported in its environment, and wrapped in what shows its errors. No process is
started here, no socket opened."""
