"""Builds the project's images from Containerfiles, on upstream bases or on self-built ones."""
