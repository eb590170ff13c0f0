"""Who may do what: keys, their rights and their scopes."""
