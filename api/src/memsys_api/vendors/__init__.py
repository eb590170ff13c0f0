"""What mem0ai's providers need around them: their import, their HTTP clients, and what their errors mean."""
