"""From a trained generator to a bundle that the server can trust."""
