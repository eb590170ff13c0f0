"""Projections of PostgreSQL: what keeps them fed, and each of them in a room of its own."""
