"""The fuzzer: good and malformed requests of every kind, and what the server owes to each."""
