"""Writes ``docs/performance.md`` and its plots from what was measured."""
