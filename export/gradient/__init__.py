"""The gradient of the generator with respect to its latents, as an ONNX graph of its own.

The graph is a vector-Jacobian product: it takes latents, and beside them the gradient of some loss
with respect to the images (the cotangents), and gives that loss's gradient with respect to the
latents. So the loss stays outside, and one graph serves every loss.

It is made of the bundle's graph of float images, node by node backwards, and not by TensorFlow:
then a bundle whose SavedModel is gone can have it, and its weights are those that the bundle has
already, byte for byte, so the file holds none of its own. TensorFlow's gradient proves it in the
export, differences in float64 wherever it is added later.
"""
