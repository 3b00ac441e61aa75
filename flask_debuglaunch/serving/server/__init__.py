"""The HTTP server: its socket, its certificate, and the serving."""
