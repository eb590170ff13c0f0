"""Whole projects in and out, as JSON Lines: what a line is (:mod:`.lines`), what an import does with it
(:mod:`.plan`), and the two flows."""
