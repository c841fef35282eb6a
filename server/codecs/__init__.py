"""Images into the bytes that callers ask for."""
