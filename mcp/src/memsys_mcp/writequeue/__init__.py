"""Memories that could not be stored because the API was away, kept on disk until it is back.

``file`` keeps them, ``queue`` says for whom and sends them on. Keys and tokens never reach the disk.
"""
