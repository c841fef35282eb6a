"""The dashboard as code: ``make dashboard`` writes it, ``make dashboard-picture`` draws it."""
