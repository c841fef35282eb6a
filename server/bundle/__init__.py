"""The contract between export and server: manifest, latents, and the model repository."""
