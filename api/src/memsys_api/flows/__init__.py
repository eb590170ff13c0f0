"""What the API does: each flow goes from a scope to one transaction, and to those who are to be told of it."""
