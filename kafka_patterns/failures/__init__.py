"""What happens when a handler fails."""
