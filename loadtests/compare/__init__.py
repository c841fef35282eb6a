"""Servers compared in turns, in one run: ours, other checkouts of it, and other people's."""
