{{/* The data of Redis's ConfigMap. The password is not in it: it comes with the start, from the Secret. */}}
{{- define "rae.redis.config" -}}
{{- $values := .Values.redis.master -}}
redis.conf: |
  bind * -::*
  port 6379
  # Who may connect is the business of the password and of the NetworkPolicy.
  protected-mode no
  dir /data
  appendonly {{ ternary "yes" "no" $values.appendonly }}
  {{- if not $values.appendonly }}
  save ""
  {{- end }}
  maxmemory {{ $values.maxmemory }}
  maxmemory-policy {{ $values.maxmemoryPolicy }}
  {{- with $values.extendedConfiguration }}
  # redis.master.extendedConfiguration
  {{- tpl . $ | trim | nindent 2 }}
  {{- end }}
{{- end -}}
