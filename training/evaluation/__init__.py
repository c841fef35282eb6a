"""Judges what a generator draws: against real photographs, against itself, against its data."""
