"""From a trained generator to a bundle that the server can trust."""

import os

# TensorFlow uses oneDNN by itself on some processors alone, and cannot draw with its own kernels
# what has its channels first. It looks at this when it is imported.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
