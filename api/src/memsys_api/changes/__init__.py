"""The change stream: what happened to memories, from any position on, without ever skipping anything."""
