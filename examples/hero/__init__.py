"""Heroes and dragons: a server and a client, as two processes."""
