"""Infers later what was stored as it was said while the language model was away."""
