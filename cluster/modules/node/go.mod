module memsys.dev/cluster/node

go 1.24.0
