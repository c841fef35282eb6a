"""What HTTP workers and engines agree on: messages, shared memory, the runtime directory."""
