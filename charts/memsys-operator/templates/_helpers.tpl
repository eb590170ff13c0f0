{{- define "memsys-operator.selector" -}}
app.kubernetes.io/name: memsys-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "memsys-operator.labels" -}}
{{ include "memsys-operator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: memsys
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "memsys-operator.tag" -}}
{{ .Values.images.tag | default .Chart.AppVersion }}
{{- end }}

{{/* Names of objects without a namespace: releases of the same name may live in several namespaces. */}}
{{- define "memsys-operator.clusterName" -}}
{{ .Release.Namespace }}-{{ .Release.Name }}
{{- end }}

{{/* What the operator may do with the objects of a system. */}}
{{- define "memsys-operator.rules" -}}
- apiGroups: [memsys.dev]
  resources: [memorysystems]
  verbs: [get, list, watch, patch]
- apiGroups: [memsys.dev]
  resources: [memorykeys]
  verbs: [get, list, watch]
- apiGroups: [memsys.dev]
  resources: [memorysystems/status, memorykeys/status]
  verbs: [patch]
# Owner references that block a foreground deletion ask for this right.
- apiGroups: [memsys.dev]
  resources: [memorysystems/finalizers]
  verbs: [update]
- apiGroups: [""]
  resources: [services, serviceaccounts]
  verbs: [get, list, watch, create, patch, delete]
# Passwords and claims are made and kept, never deleted by the operator.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, list, watch, patch]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [apps]
  resources: [statefulsets, deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies, ingresses]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end }}
