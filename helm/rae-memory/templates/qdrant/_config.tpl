{{/* Qdrant's configuration: what this chart needs, then qdrant.config over it. */}}
{{- define "rae.qdrant.config" -}}
{{- $values := .Values.qdrant -}}
{{- $config := dict
  "service" (dict "http_port" 6333 "grpc_port" 6334)
  "storage" (dict "storage_path" "/qdrant/storage" "snapshots_path" "/qdrant/snapshots")
  "telemetry_disabled" $values.telemetryDisabled
-}}
{{- if gt (int $values.replicaCount) 1 -}}
{{- $_ := set $config "cluster" (dict "enabled" true "p2p" (dict "port" 6335)) -}}
{{- end -}}
{{- toYaml (mergeOverwrite $config (deepCopy (default dict $values.config))) -}}
{{- end -}}
