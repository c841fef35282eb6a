"""The interface of HTTP workers and engines: messages, shared memory, the engine's directory."""
