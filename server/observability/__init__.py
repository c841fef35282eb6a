"""What metrics, logs and traces tell."""
