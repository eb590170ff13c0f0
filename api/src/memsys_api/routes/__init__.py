"""HTTP in, flows, HTTP out. No logic of its own."""
