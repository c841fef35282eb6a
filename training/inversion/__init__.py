"""Photographs restored with a bundle's generator: the search of ``inversion``, on this machine."""
