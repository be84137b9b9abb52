"""The server: handlers, the lanes they run in, and the offsets they finish."""
