"""The app by hand where it is deployed: as the account, in the folder and with the environment of
its service (`--user`, `--as-service`)."""
