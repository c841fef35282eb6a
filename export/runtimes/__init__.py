"""The exported graphs in other runtimes: ``python -m export.runtimes MODEL_DIR``.

Each runtime has an environment of its own, so that none has to agree with another one, or with this
product, about the versions of what both use. ``draw.py`` runs in there; all else runs here.
"""
