{{/*
"true" where the migration is a hook before an upgrade. What it needs must be there then: a hook runs before anything of the
upgrade is made, and an upgrade that brings or repairs the database would wait for its own result. Where something is missing
the Job is an object like the others. Without a cluster nothing can be looked up, and nothing is thought to be missing.
*/}}
{{- define "rae.migrations.isHook" -}}
{{- if .Release.IsUpgrade -}}
{{- if or (eq (include "rae.offline" .) "true") (not (include "rae.migrations.missing" .)) -}}true{{- end -}}
{{- end -}}
{{- end -}}

{{/* What the migration needs of this release and the cluster does not have, or nothing. */}}
{{- define "rae.migrations.missing" -}}
{{- $namespace := include "rae.namespace" . -}}
{{- $missing := list -}}
{{- $needed := list (list "v1" "ConfigMap" (include "rae.configMapName" .)) -}}
{{- if .Values.serviceAccount.create -}}
{{- $needed = append $needed (list "v1" "ServiceAccount" (include "rae.serviceAccountName" (dict "root" . "component" "migrations"))) -}}
{{- end -}}
{{- $mode := include "rae.database.mode" . -}}
{{- if and (eq $mode "url") .Values.secrets.create -}}
{{- $needed = append $needed (list "v1" "Secret" (include "rae.appSecretName" .)) -}}
{{- end -}}
{{- range $needed -}}
{{- if not (lookup (index . 0) (index . 1) $namespace (index . 2)) -}}
{{- $missing = append $missing (printf "%s %s" (index . 1) (index . 2)) -}}
{{- end -}}
{{- end -}}
{{- if eq $mode "bundled" -}}
{{- $kind := .Values.postgresql.primary.kind -}}
{{- $name := include "rae.postgresql.host" . -}}
{{- $workload := lookup "apps/v1" $kind $namespace $name -}}
{{- if lt (int (dig "status" "readyReplicas" 0 (default dict $workload))) 1 -}}
{{- $missing = append $missing (printf "a ready pod of the %s %s" $kind $name) -}}
{{- end -}}
{{- if not .Values.postgresql.auth.existingSecret -}}
{{- $secret := lookup "v1" "Secret" $namespace (include "rae.generatedSecretName" .) -}}
{{- if not (hasKey (default dict (default dict $secret).data) "postgresql-password") -}}
{{- $missing = append $missing (printf "postgresql-password in the Secret %s" (include "rae.generatedSecretName" .)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- join ", " $missing -}}
{{- end -}}

{{/*
What the Job runs. The server ends at once where the database does not answer, so it is asked again until the time is over. The
shell is process 1: it hands a SIGTERM on.
*/}}
{{- define "rae.migrations.script" -}}
trap 'kill "$child" 2> /dev/null || true; wait "$child" || true; exit 143' TERM INT
end=$(($(date +%s) + {{ include "rae.scalar" .Values.migrations.waitSeconds }}))
while :; do
  rae-server migrate &
  child=$!
  if wait "$child"; then exit 0; fi
  if [ "$(date +%s)" -ge "$end" ]; then exit 1; fi
  echo "The migration is tried again in 5 seconds" >&2
  sleep 5 &
  child=$!
  wait "$child" || true
done
{{- end -}}

{{/* The spec of the Job, but for how long it may take. */}}
{{- define "rae.migrations.jobSpec" -}}
{{- $values := .Values.migrations -}}
backoffLimit: {{ int $values.backoffLimit }}
template:
  metadata:
    labels:
      {{- include "rae.podLabels" (dict "root" . "component" "migrations" "values" $values) | nindent 6 }}
    {{- with include "rae.podAnnotations" (dict "root" . "values" $values) }}
    {{- . | nindent 4 }}
    {{- end }}
  spec:
    {{- include "rae.podSpec.common" (dict "root" . "component" "migrations" "values" $values) | nindent 4 }}
    restartPolicy: OnFailure
    containers:
      {{- include "rae.migrationContainer" (dict "root" . "values" (dict "image" .Values.memoryApi.image) "wait" true) | nindent 6 }}
    volumes:
      {{- include "rae.volumes" (dict "root" . "values" $values) | nindent 6 }}
{{- end -}}
