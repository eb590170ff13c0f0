"""MemoryKeys: API keys declared as resources, each kept in a Secret, rotated, and ended with its resource."""
