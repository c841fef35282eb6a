"""Data sets of many images: drawn, written into shards, read again and checked."""
