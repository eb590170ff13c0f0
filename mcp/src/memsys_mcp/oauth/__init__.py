"""Access tokens of others: says where to get one (RFC 9728), verifies it, and reads what it grants.

Nothing here passes a token on; what leaves this room is a :class:`~memsys_mcp.oauth.grants.Principal`.
"""
