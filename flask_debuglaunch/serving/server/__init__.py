"""The HTTP server: its socket, its certificate, and the serving, of whatever WSGI app. It knows
neither debuggers nor reloads."""
