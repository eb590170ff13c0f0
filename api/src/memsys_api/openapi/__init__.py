"""The description of the API: what FastAPI derives, made whole."""
