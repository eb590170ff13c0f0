"""Install every set: ``python -m tests.npm``. Before the tests, whose time it is not."""

from . import installed, sets

for name in sets():
    installed(name)
