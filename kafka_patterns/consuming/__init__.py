"""The threads that own a consumer, used by client and server alike."""
