{{/* The data of PostgreSQL's ConfigMap. */}}
{{- define "rae.postgresql.config" -}}
{{- $values := .Values.postgresql.primary -}}
postgresql.conf: |
  # First what initdb wrote, then what this chart needs, then your own lines. ALTER SYSTEM still wins over all.
  include_if_exists '/var/lib/postgresql/data/pgdata/postgresql.conf'
  listen_addresses = '*'
  unix_socket_directories = '/var/run/postgresql'
  password_encryption = 'scram-sha-256'
  # postgresql.primary.maxConnections. Each process of RAE opens at most 10, each child of a worker among them.
  max_connections = {{ include "rae.scalar" $values.maxConnections }}
  shared_buffers = '256MB'
  # Pods rarely have huge pages, and asking for them can end the start.
  huge_pages = off
  log_destination = 'stderr'
  logging_collector = off
  log_timezone = 'UTC'
  include '/etc/rae/extended.conf'
extended.conf: |
  # postgresql.primary.extendedConfiguration
  {{- with $values.extendedConfiguration }}
  {{- tpl . $ | trim | nindent 2 }}
  {{- end }}
{{- range $name, $text := $values.initdb.scripts }}
initdb.{{ $name }}: |
  {{- $text | trim | nindent 2 }}
{{- end }}
{{- end -}}
