"""Writes that look like secrets or planted instructions: found, and treated as the project's policy says."""
