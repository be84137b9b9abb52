"""The client: requests that wait for their reply, and events."""
