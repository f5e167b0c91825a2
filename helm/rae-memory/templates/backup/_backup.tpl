{{/* "true" where snapshots of Qdrant are taken. Those of a cluster would be one pod's share: what counts lies in PostgreSQL. */}}
{{- define "rae.backup.qdrant" -}}
{{- $mode := include "rae.qdrant.mode" . -}}
{{- if and .Values.backup.qdrantSnapshots (or (eq $mode "external") (and (eq $mode "bundled") (eq (int .Values.qdrant.replicaCount) 1))) -}}true{{- end -}}
{{- end -}}

{{/* The variables of one of the two containers. Argument: dict "root" $ "env" list. */}}
{{- define "rae.backup.env" -}}
{{- $extra := list -}}
{{- with .root.Values.backup.extraEnv -}}
{{- $extra = include "rae.tpl" (dict "root" $.root "value" .) | fromYamlArray -}}
{{- end -}}
{{- include "rae.mergedEnv" (dict "lists" (list .env $extra)) -}}
{{- end -}}
