"""``memsys-import``: memories from elsewhere into a project, as the lines of an export. A rerun doubles nothing."""
