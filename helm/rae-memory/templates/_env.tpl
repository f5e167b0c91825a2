{{/*
Variables of the containers. Names are those of docs/operations.md; what the server does not read is not passed.
*/}}

{{/* How the database is reached: bundled, external (by its parts) or url. */}}
{{- define "rae.database.mode" -}}
{{- if .Values.secrets.preferUrls -}}url
{{- else if .Values.postgresql.enabled -}}bundled
{{- else if .Values.externalDatabase.host -}}external
{{- else -}}url
{{- end -}}
{{- end -}}

{{- define "rae.redis.mode" -}}
{{- if .Values.secrets.preferUrls -}}url
{{- else if .Values.redis.enabled -}}bundled
{{- else if .Values.externalRedis.host -}}external
{{- else -}}url
{{- end -}}
{{- end -}}

{{/* bundled, external or none. */}}
{{- define "rae.qdrant.mode" -}}
{{- if .Values.qdrant.enabled -}}bundled
{{- else if .Values.externalQdrant.host -}}external
{{- else -}}none
{{- end -}}
{{- end -}}

{{/*
One variable from the app's Secret. Optional, so that a Secret without that key does; but a key which the External Secrets
Operator is about to write is waited for. Argument: dict "root" $ "name" variable "key" "openaiApiKey", or "secretKey" its name.
*/}}
{{- define "rae.appSecretEnv" -}}
{{- $key := default (get .root.Values.secrets.keys (default "" .key)) .secretKey -}}
{{- if $key -}}
- name: {{ .name }}
  valueFrom:
    secretKeyRef:
      name: {{ include "rae.appSecretName" .root | quote }}
      key: {{ $key | quote }}
      optional: {{ ne (include "rae.externalSecretHas" (dict "root" .root "secretKey" $key)) "true" }}
{{- end -}}
{{- end -}}

{{/* What the ExternalSecret writes, as a map from keys of the Secret to names in the store. */}}
{{- define "rae.externalSecretData" -}}
{{- $data := dict -}}
{{- if .Values.externalSecrets.enabled -}}
{{- range $name, $remote := .Values.externalSecrets.keys -}}
{{- $key := get $.Values.secrets.keys $name -}}
{{- if and $key $remote -}}{{- $_ := set $data $key (toString $remote) -}}{{- end -}}
{{- end -}}
{{- range $key, $remote := .Values.externalSecrets.extraKeys -}}
{{- if $remote -}}{{- $_ := set $data $key (toString $remote) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $data -}}
{{- end -}}

{{- define "rae.externalSecretHas" -}}
{{- if hasKey (include "rae.externalSecretData" .root | fromYaml) .secretKey -}}true{{- end -}}
{{- end -}}

{{/* PostgreSQL. Argument: the root. */}}
{{- define "rae.env.database" -}}
{{- $mode := include "rae.database.mode" . -}}
{{- if eq $mode "bundled" -}}
- name: PGHOST
  value: {{ include "rae.postgresql.host" . }}
- name: PGPORT
  value: {{ .Values.postgresql.primary.service.port | quote }}
- name: PGUSER
  value: {{ .Values.postgresql.auth.username | quote }}
- name: PGDATABASE
  value: {{ .Values.postgresql.auth.database | quote }}
- name: PGPASSWORD
  valueFrom:
    secretKeyRef:
      {{- include "rae.postgresql.passwordRef" . | nindent 6 }}
{{- else if eq $mode "external" -}}
{{- $external := .Values.externalDatabase -}}
- name: PGHOST
  value: {{ $external.host | quote }}
- name: PGPORT
  value: {{ $external.port | quote }}
- name: PGUSER
  value: {{ $external.username | quote }}
- name: PGDATABASE
  value: {{ $external.database | quote }}
- name: PGSSLMODE
  value: {{ $external.sslMode | quote }}
{{- with $external.sslRootCert }}
- name: PGSSLROOTCERT
  value: {{ . | quote }}
{{- end }}
{{- with $external.existingSecret }}
- name: PGPASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ . | quote }}
      key: {{ $external.existingSecretKey | quote }}
{{- end }}
{{- else -}}
{{- include "rae.appSecretEnv" (dict "root" . "name" "DATABASE_URL" "key" "databaseUrl") -}}
{{- end -}}
{{- end -}}

{{- define "rae.env.redis" -}}
{{- $mode := include "rae.redis.mode" . -}}
{{- if eq $mode "bundled" -}}
- name: REDIS_HOST
  value: {{ include "rae.redis.host" . }}
- name: REDIS_PORT
  value: {{ .Values.redis.master.service.port | quote }}
{{- if .Values.redis.auth.enabled }}
- name: REDIS_PASSWORD
  valueFrom:
    secretKeyRef:
      {{- include "rae.redis.passwordRef" . | nindent 6 }}
{{- end }}
{{- else if eq $mode "external" -}}
{{- $external := .Values.externalRedis -}}
- name: REDIS_HOST
  value: {{ $external.host | quote }}
- name: REDIS_PORT
  value: {{ $external.port | quote }}
{{- with $external.existingSecret }}
- name: REDIS_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ . | quote }}
      key: {{ $external.existingSecretKey | quote }}
{{- end }}
{{- else -}}
{{- include "rae.appSecretEnv" (dict "root" . "name" "REDIS_URL" "key" "redisUrl") -}}
{{- end -}}
{{- end -}}

{{- define "rae.env.qdrant" -}}
{{- $mode := include "rae.qdrant.mode" . -}}
{{- if eq $mode "bundled" -}}
- name: QDRANT_URL
  value: {{ printf "http://%s:%d" (include "rae.qdrant.host" .) (int .Values.qdrant.service.httpPort) }}
{{- if .Values.qdrant.apiKey.enabled }}
- name: QDRANT_API_KEY
  valueFrom:
    secretKeyRef:
      {{- include "rae.qdrant.apiKeyRef" . | nindent 6 }}
{{- end }}
{{- else if eq $mode "external" -}}
{{- $external := .Values.externalQdrant -}}
- name: QDRANT_URL
  value: {{ printf "%s://%s:%d" (ternary "https" "http" $external.tls) $external.host (int $external.port) }}
{{- with $external.existingSecret }}
- name: QDRANT_API_KEY
  valueFrom:
    secretKeyRef:
      name: {{ . | quote }}
      key: {{ $external.existingSecretKey | quote }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* Keys of providers and the operator's key, and the variables of secrets.extraKeys. */}}
{{- define "rae.env.keys" -}}
{{- range $name, $key := dict "OPENAI_API_KEY" "openaiApiKey" "ANTHROPIC_API_KEY" "anthropicApiKey" "GEMINI_API_KEY" "geminiApiKey" "RAE_API_MASTER_KEY" "apiMasterKey" -}}
{{- with include "rae.appSecretEnv" (dict "root" $ "name" $name "key" $key) }}
{{ . }}
{{- end -}}
{{- end -}}
{{- range $name, $key := .Values.secrets.extraKeys -}}
{{- with include "rae.appSecretEnv" (dict "root" $ "name" $name "secretKey" $key) }}
{{ . }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Where models are computed, for the API and the workers. */}}
{{- define "rae.env.models" -}}
{{- if .Values.config.embedder }}
- name: RAE_EMBEDDER
  value: {{ .Values.config.embedder | quote }}
{{- else if .Values.mlService.enabled }}
- name: RAE_ML_URL
  value: {{ printf "http://%s:%d" (include "rae.componentName" (dict "root" . "component" "ml-service")) (int .Values.mlService.service.port) }}
- name: RAE_ML_START_TIMEOUT
  value: {{ include "rae.scalar" .Values.config.mlStartTimeoutSeconds | quote }}
{{- end }}
{{- if .Values.rerankerService.enabled }}
- name: RAE_RERANKER_URL
  value: {{ printf "http://%s:%d" (include "rae.componentName" (dict "root" . "component" "reranker")) (int .Values.rerankerService.service.port) }}
{{- end }}
{{- end -}}

{{/* The model of a service. Argument: its values. */}}
{{- define "rae.env.model" -}}
- name: RAE_MODEL_CACHE
  value: {{ .modelCache.mountPath | quote }}
{{- with .model.dir }}
- name: RAE_MODEL_DIR
  value: {{ . | quote }}
{{- end }}
{{- with .model.url }}
- name: RAE_MODEL_URL
  value: {{ . | quote }}
{{- end }}
{{- with .model.sha256 }}
- name: RAE_MODEL_SHA256
  value: {{ . | quote }}
{{- end }}
{{- if .model.unverified }}
- name: RAE_MODEL_UNVERIFIED
  value: "true"
{{- end }}
{{- end -}}

{{- define "rae.env.drain" -}}
{{- with .delaySeconds }}
- name: RAE_DRAIN_DELAY
  value: {{ include "rae.scalar" . | quote }}
{{- end }}
- name: RAE_DRAIN_TIMEOUT
  value: {{ include "rae.scalar" .timeoutSeconds | quote }}
{{- end -}}

{{/*
The key "env" of a role's container. Argument: dict "root" $ "role" of api, worker, ml, reranker, migrate, and "values",
a map or list of maps whose extraEnv comes last. Variables of the value configMap win over the chart's own, which are left out
then; extraEnv wins over both.
*/}}
{{- define "rae.env" -}}
{{- $root := .root -}}
{{- $values := $root.Values -}}
{{- $parts := list -}}
{{- if ne .role "migrate" -}}
{{- $parts = append $parts (printf "- name: RAE_HOST\n  value: %q" $values.config.host) -}}
{{- end -}}
{{- if and $values.config.otel.enabled (ne .role "migrate") -}}
{{- $parts = append $parts (printf "- name: OTEL_SERVICE_NAME\n  value: rae-%s" .role) -}}
{{- with $values.config.otel.headersSecret -}}
{{- $parts = append $parts (printf "- name: OTEL_EXPORTER_OTLP_HEADERS\n  valueFrom:\n    secretKeyRef:\n      name: %q\n      key: %q" . $values.config.otel.headersSecretKey) -}}
{{- end -}}
{{- end -}}
{{- if eq .role "api" -}}
{{- $parts = append $parts "- name: RAE_PORT\n  value: \"8000\"" -}}
{{- $parts = append $parts (include "rae.env.drain" $values.memoryApi.drain) -}}
{{- else if eq .role "worker" -}}
{{- $worker := $values.celeryWorker -}}
{{- $parts = append $parts (printf "- name: RAE_WORKER_PORT\n  value: \"%d\"" (int $worker.metricsPort)) -}}
{{- $parts = append $parts (printf "- name: RAE_WORKER_CONCURRENCY\n  value: \"%d\"" (int $worker.concurrency)) -}}
{{- $parts = append $parts (printf "- name: RAE_WORKER_MAX_TASKS_PER_CHILD\n  value: \"%d\"" (int $worker.maxTasksPerChild)) -}}
{{- $parts = append $parts (include "rae.env.drain" $worker.drain) -}}
{{- else if eq .role "ml" -}}
{{- $parts = append $parts "- name: RAE_PORT\n  value: \"8001\"" -}}
{{- $parts = append $parts (include "rae.env.drain" $values.mlService.drain) -}}
{{- $parts = append $parts (include "rae.env.model" $values.mlService) -}}
{{- else if eq .role "reranker" -}}
{{- $parts = append $parts "- name: RAE_PORT\n  value: \"8002\"" -}}
{{- $parts = append $parts (include "rae.env.drain" $values.rerankerService.drain) -}}
{{- $parts = append $parts (include "rae.env.model" $values.rerankerService) -}}
{{- end -}}
{{- if has .role (list "api" "worker" "migrate") -}}
{{- $parts = append $parts (include "rae.env.database" $root) -}}
{{- end -}}
{{- if has .role (list "api" "worker") -}}
{{- range $name := list "rae.env.redis" "rae.env.qdrant" "rae.env.models" "rae.env.keys" -}}
{{- $parts = append $parts (include $name $root) -}}
{{- end -}}
{{- end -}}
{{- $own := list -}}
{{- range $part := $parts -}}
{{- if trim $part -}}{{- $own = concat $own (fromYamlArray $part) -}}{{- end -}}
{{- end -}}
{{- $extra := list -}}
{{- range $one := ternary .values (list .values) (kindIs "slice" .values) -}}
{{- with (default dict $one).extraEnv -}}
{{- $extra = concat $extra (include "rae.tpl" (dict "root" $root "value" .) | fromYamlArray) -}}
{{- end -}}
{{- end -}}
{{- /* The server refuses a secret that is given both as a variable and as a file. */ -}}
{{- $hidden := keys $values.configMap -}}
{{- range $one := $extra -}}
{{- if hasSuffix "_FILE" $one.name -}}{{- $hidden = append $hidden (trimSuffix "_FILE" $one.name) -}}{{- end -}}
{{- end -}}
{{- $kept := list -}}
{{- range $one := $own -}}
{{- if not (has $one.name $hidden) -}}{{- $kept = append $kept $one -}}{{- end -}}
{{- end -}}
{{- include "rae.mergedEnv" (dict "lists" (list $kept $extra)) -}}
{{- end -}}

{{/*
The key "env" of lists of variables, each name once: the later one wins, at its own place, so that it may refer to those
before it. Server-side apply refuses a name that is there twice. Argument: dict "lists" list of lists.
*/}}
{{- define "rae.mergedEnv" -}}
{{- $merged := list -}}
{{- range $list := .lists -}}
{{- range $one := $list -}}
{{- $rest := list -}}
{{- range $seen := $merged -}}
{{- if ne $seen.name $one.name -}}{{- $rest = append $rest $seen -}}{{- end -}}
{{- end -}}
{{- $merged = append $rest $one -}}
{{- end -}}
{{- end -}}
{{- with $merged -}}
env:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{/* The key "envFrom": the ConfigMap, and what the values add. Argument as of rae.env. */}}
{{- define "rae.envFrom" -}}
envFrom:
  - configMapRef:
      name: {{ include "rae.configMapName" .root }}
{{- range $one := ternary .values (list .values) (kindIs "slice" .values) }}
{{- with (default dict $one).extraEnvFrom }}
  {{- include "rae.tpl" (dict "root" $.root "value" .) | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}

{{/* A duration of Prometheus, such as 1m30s, in milliseconds. */}}
{{- define "rae.milliseconds" -}}
{{- $units := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 "d" 86400000 -}}
{{- $sum := 0 -}}
{{- range $part := regexFindAll "[0-9]+(ms|[smhd])" . -1 -}}
{{- $unit := regexFind "[a-z]+$" $part -}}
{{- $sum = add $sum (mul (int64 (trimSuffix $unit $part)) (get $units $unit)) -}}
{{- end -}}
{{- $sum -}}
{{- end -}}

{{/* A number as people write it: Helm reads 16777216 as a float and would print 1.6777216e+07. */}}
{{- define "rae.scalar" -}}
{{- if kindIs "float64" . -}}
{{- if eq (floor .) . -}}{{- printf "%.0f" . -}}{{- else -}}{{- printf "%v" . -}}{{- end -}}
{{- else -}}
{{- toString . -}}
{{- end -}}
{{- end -}}

{{/* US dollars with two decimals, however they were written. What is less than a cent stays as it is, and "none" is no limit. */}}
{{- define "rae.money" -}}
{{- if eq (toString .) "none" -}}
none
{{- else -}}
{{- $number := float64 . -}}
{{- if and (gt $number 0.0) (lt $number 0.01) -}}{{- printf "%v" $number -}}{{- else -}}{{- printf "%.2f" $number -}}{{- end -}}
{{- end -}}
{{- end -}}

{{/* What the ConfigMap holds: the settings that all processes share, then the value configMap over them. */}}
{{- define "rae.configData" -}}
{{- $values := .Values -}}
{{- $data := dict
  "RAE_LOG_LEVEL" (lower $values.config.logLevel)
  "RAE_LOG_FORMAT" $values.config.logFormat
  "RAE_AUTH" $values.config.auth
  "RAE_RATE_LIMIT" (ternary (include "rae.scalar" $values.config.rateLimit.requests) "0" $values.config.rateLimit.enabled)
  "RAE_RATE_LIMIT_WINDOW" (include "rae.scalar" $values.config.rateLimit.windowSeconds)
  "ENABLE_COST_TRACKING" (toString $values.cost.enableTracking)
  "DEFAULT_DAILY_LIMIT" (include "rae.money" $values.cost.defaultDailyLimit)
  "DEFAULT_MONTHLY_LIMIT" (include "rae.money" $values.cost.defaultMonthlyLimit)
  "BUDGET_WARNING_THRESHOLD" (printf "%v" (float64 $values.cost.warningThreshold))
-}}
{{- if $values.config.otel.enabled -}}
{{- $_ := set $data "OTEL_EXPORTER_OTLP_ENDPOINT" $values.config.otel.endpoint -}}
{{- end -}}
{{- range $key, $value := $values.configMap -}}
{{- if kindIs "invalid" $value -}}
{{- $_ := unset $data $key -}}
{{- else -}}
{{- $text := include "rae.scalar" $value -}}
{{- $_ := set $data $key (ternary (tpl $text $) $text (contains "{{" $text)) -}}
{{- end -}}
{{- end -}}
{{- toYaml $data -}}
{{- end -}}

{{/* Annotations with checksums, so that a change of settings replaces the pods. Argument: dict "root" $ "secrets" bool. */}}
{{- define "rae.checksums" -}}
checksum/config: {{ include "rae.configData" .root | sha256sum }}
{{- if .secrets }}
{{- /* Of what is random there is no checksum: without a cluster it is another one in each render. */}}
{{- $given := list }}
{{- range $store := list .root.Values.postgresql.auth .root.Values.redis.auth }}
{{- with $store.password }}{{- $given = append $given (include "rae.scalar" .) }}{{- end }}
{{- end }}
{{- with $given }}
{{- /* By scrypt, as a bare hash of a short password in an annotation could be guessed. */}}
checksum/passwords: {{ derivePassword 1 "maximum" (join "\n" .) $.root.Release.Name (include "rae.namespace" $.root) | sha256sum }}
{{- end }}
{{- if .root.Values.secrets.create }}
checksum/app-secret: {{ toYaml .root.Values.secrets.data | sha256sum }}
{{- end }}
{{- end }}
{{- end -}}
