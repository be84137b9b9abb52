"""What runs round each call of a handler, one behaviour per file."""
