"""The highest rate at which a server keeps a service level objective, for each kind of request."""
