"""The launcher under a real CPython for Windows, which runs under wine and is driven from Linux."""
