"""A real single-node Kubernetes in a network namespace of its own. Standard library only."""
