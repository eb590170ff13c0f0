#!/usr/bin/env bash
# Prints the shell exports that reach a running memory system: env.sh NAMESPACE SYSTEM API_PORT MCP_PORT
set -euo pipefail
namespace=$1 system=$2 api_port=$3 mcp_port=$4

secret=$(kubectl --namespace "$namespace" get memsys "$system" --output jsonpath='{.status.adminKeySecret.name}' 2>/dev/null) || secret=
if [ -z "$secret" ]; then
    echo "no MemorySystem '$system' with an admin key in namespace '$namespace' of this cluster: run 'make up' first" >&2
    exit 1
fi
key=$(kubectl --namespace "$namespace" get secret "$secret" --output jsonpath='{.data.key}' | base64 --decode)

printf "export KUBECONFIG='%s'\n" "$KUBECONFIG"
printf "export MEMSYS_API_URL='http://127.0.0.1:%s'\n" "$api_port"
printf "export MEMSYS_MCP_URL='http://127.0.0.1:%s'\n" "$mcp_port"
printf "export MEMSYS_API_KEY='%s'\n" "$key"
printf "export PATH='%s':\"\$PATH\"\n" "$(dirname "$(command -v helm)")"
