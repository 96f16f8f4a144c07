"""One HTTP channel for everything that asks a server: send, check, name what went wrong."""
