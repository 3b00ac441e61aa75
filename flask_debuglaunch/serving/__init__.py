"""Serve the app: in this process, or supervised, with a reload whenever a file changes.

serve -> serve_without_reload
serve -> supervisor -> (starts this program again) child_process_main -> worker_main

server/ has the socket and the HTTP server, app/ the user's app and what stands around it,
preloading/ the modules that are imported ahead of it, watching/ the files, processes/ how
supervisor, fork server and workers start and end; they speak in ipc_protocol.py.
"""
