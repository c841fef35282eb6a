"""The search for the latents whose image is nearest to a photograph: NumPy and Pillow alone.

Training and server share it: whoever searches brings the model, as two functions.
"""
