{{/*
Where passwords and keys come from. Each "Ref" helper yields the lines "name:" and "key:" of a secretKeyRef.
*/}}

{{/* The Secret with the URLs of stores and the keys of providers. */}}
{{- define "rae.appSecretName" -}}
{{- if .Values.secrets.create -}}
{{- include "rae.componentName" (dict "root" . "component" "app") -}}
{{- else -}}
{{- tpl .Values.secrets.existingSecret . -}}
{{- end -}}
{{- end -}}

{{- define "rae.generatedSecretName" -}}
{{- include "rae.componentName" (dict "root" . "component" "generated") -}}
{{- end -}}

{{- define "rae.postgresql.passwordRef" -}}
{{- $auth := .Values.postgresql.auth -}}
name: {{ default (include "rae.generatedSecretName" .) $auth.existingSecret | quote }}
key: {{ ternary $auth.existingSecretKey "postgresql-password" (ne (default "" $auth.existingSecret) "") | quote }}
{{- end -}}

{{- define "rae.redis.passwordRef" -}}
{{- $auth := .Values.redis.auth -}}
name: {{ default (include "rae.generatedSecretName" .) $auth.existingSecret | quote }}
key: {{ ternary $auth.existingSecretKey "redis-password" (ne (default "" $auth.existingSecret) "") | quote }}
{{- end -}}

{{- define "rae.qdrant.apiKeyRef" -}}
{{- $key := .Values.qdrant.apiKey -}}
name: {{ default (include "rae.generatedSecretName" .) $key.existingSecret | quote }}
key: {{ ternary $key.existingSecretKey "qdrant-api-key" (ne (default "" $key.existingSecret) "") | quote }}
{{- end -}}

{{/*
What the generated Secret holds, as YAML of a map with plain values. For each password, the first of: the one in the values;
the one that was kept; the one in the URL of the app's Secret where that names the bundled service; a random one. What was
kept and is not needed now is kept all the same: a volume may still have it. The result is made once for each render, as
two calls would give two random passwords.
*/}}
{{- define "rae.generatedData" -}}
{{- if not (hasKey .Values "_generated") -}}
{{- $data := dict -}}
{{- $stored := lookup "v1" "Secret" (include "rae.namespace" .) (include "rae.generatedSecretName" .) -}}
{{- range $key, $value := (default dict $stored).data -}}
{{- $_ := set $data $key ($value | b64dec) -}}
{{- end -}}
{{- $pg := .Values.postgresql -}}
{{- if and $pg.enabled (not $pg.auth.existingSecret) -}}
{{- $url := dict "root" . "key" "databaseUrl" "host" (include "rae.postgresql.host" .) -}}
{{- $claims := list (include "rae.postgresql.host" .) (printf "data-%s-0" (include "rae.postgresql.host" .)) -}}
{{- $_ := set $data "postgresql-password" (include "rae.password" (dict "root" . "given" $pg.auth.password "kept" (get $data "postgresql-password") "url" $url "claims" $claims "value" "postgresql.auth.password")) -}}
{{- end -}}
{{- $redis := .Values.redis -}}
{{- if and $redis.enabled $redis.auth.enabled (not $redis.auth.existingSecret) -}}
{{- $url := dict "root" . "key" "redisUrl" "host" (include "rae.redis.host" .) -}}
{{- $_ := set $data "redis-password" (include "rae.password" (dict "root" . "given" $redis.auth.password "kept" (get $data "redis-password") "url" $url)) -}}
{{- end -}}
{{- if and .Values.qdrant.enabled .Values.qdrant.apiKey.enabled (not .Values.qdrant.apiKey.existingSecret) -}}
{{- $_ := set $data "qdrant-api-key" (include "rae.password" (dict "root" . "kept" (get $data "qdrant-api-key"))) -}}
{{- end -}}
{{- $_ := set .Values "_generated" $data -}}
{{- end -}}
{{- toYaml (get .Values "_generated") -}}
{{- end -}}

{{- define "rae.password" -}}
{{- if .given -}}
{{- include "rae.scalar" .given -}}
{{- else if .kept -}}
{{- .kept -}}
{{- else -}}
{{- $found := "" -}}
{{- with .url -}}{{- $found = include "rae.passwordOfUrl" . -}}{{- end -}}
{{- if $found -}}
{{- $found -}}
{{- else -}}
{{- /* A volume with data has its password already, and a new one would lock everybody out. */ -}}
{{- range $claim := .claims -}}
{{- if lookup "v1" "PersistentVolumeClaim" (include "rae.namespace" $.root) $claim -}}
{{- fail (printf "The volume claim %s is there, but not the Secret %s with its password. Give the password as %s, or delete the claim if its data may go." $claim (include "rae.generatedSecretName" $.root) $.value) -}}
{{- end -}}
{{- end -}}
{{- randAlphaNum 32 -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The password in a URL of the app's Secret, if its host is this one. Argument: dict "root" $ "key" "databaseUrl" "host" name. */}}
{{- define "rae.passwordOfUrl" -}}
{{- $values := .root.Values.secrets -}}
{{- $url := "" -}}
{{- if $values.create -}}
{{- $url = toString (default "" (get $values.data .key)) -}}
{{- else -}}
{{- $secret := lookup "v1" "Secret" (include "rae.namespace" .root) (include "rae.appSecretName" .root) -}}
{{- $url = default "" (get (default dict (default dict $secret).data) (default "" (get $values.keys .key))) | b64dec -}}
{{- end -}}
{{- $shape := "^[a-z+]+://[^:@/?#]*:([^@/?#]+)@([^:@/?#]+)(?::[0-9]+)?(?:[/?#].*)?$" -}}
{{- if regexMatch $shape $url -}}
{{- $host := regexReplaceAll $shape $url "${2}" -}}
{{- $namespace := include "rae.namespace" .root -}}
{{- if has $host (list .host (printf "%s.%s" .host $namespace) (printf "%s.%s.svc" .host $namespace) (printf "%s.%s.svc.cluster.local" .host $namespace)) -}}
{{- $password := regexReplaceAll $shape $url "${1}" -}}
{{- /* %2F and the like are read by way of a path, the only place where Helm decodes them. */ -}}
{{- if not (regexMatch "%(?:[^0-9A-Fa-f]|.[^0-9A-Fa-f]|.?$)" $password) -}}
{{- $password = trimPrefix "/" (get (urlParse (printf "http://host/%s" $password)) "path") -}}
{{- end -}}
{{- $password -}}
{{- end -}}
{{- end -}}
{{- end -}}
