"""Exports of memories in the shape that the caller asks for, made by the language model and held against it."""
