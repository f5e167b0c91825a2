{{/*
Network policies: one for each component, with what it needs and nothing more. Ports are those of the pods, not of the services:
a policy is applied behind a service. Each rule below is YAML of a list, so that rules can be joined.
*/}}

{{/* An object. Argument: dict "root" $ "component" name "name" text "ingress" text "egress" text, the last two YAML of lists. */}}
{{- define "rae.networkPolicy" -}}
{{- $types := .root.Values.networkPolicy.policyTypes -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "rae.store.metadata" (dict "root" .root "component" .component "name" .name) | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "rae.selectorLabels" (dict "root" .root "component" .component) | nindent 6 }}
  policyTypes:
    {{- toYaml $types | nindent 4 }}
  {{- if has "Ingress" $types }}
  {{- with .ingress | trim }}
  ingress:
    {{- . | nindent 4 }}
  {{- else }}
  ingress: []
  {{- end }}
  {{- end }}
  {{- if has "Egress" $types }}
  {{- with .egress | trim }}
  egress:
    {{- . | nindent 4 }}
  {{- else }}
  egress: []
  {{- end }}
  {{- end }}
{{- end -}}

{{/* From components of this release. Argument: dict "root" $ "components" list "port" number. */}}
{{- define "rae.np.from" -}}
- from:
    {{- range .components }}
    - podSelector:
        matchLabels:
          {{- include "rae.selectorLabels" (dict "root" $.root "component" .) | nindent 10 }}
    {{- end }}
  ports:
    - protocol: TCP
      port: {{ .port }}
{{ end -}}

{{/* From a namespace, by the label that the API server sets. Argument: dict "namespace" name "port" number. */}}
{{- define "rae.np.fromNamespace" -}}
- from:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: {{ .namespace | quote }}
  ports:
    - protocol: TCP
      port: {{ .port }}
{{ end -}}

{{/* From Prometheus. Argument: dict "root" $ "port" number. */}}
{{- define "rae.np.fromMonitoring" -}}
{{- if and .root.Values.monitoring.enabled .root.Values.networkPolicy.monitoringNamespace -}}
{{- include "rae.np.fromNamespace" (dict "namespace" .root.Values.networkPolicy.monitoringNamespace "port" .port) -}}
{{- end -}}
{{- end -}}

{{/* To a component of this release. Argument: dict "root" $ "component" name "port" number. */}}
{{- define "rae.np.to" -}}
- to:
    - podSelector:
        matchLabels:
          {{- include "rae.selectorLabels" . | nindent 10 }}
  ports:
    - protocol: TCP
      port: {{ .port }}
{{ end -}}

{{- define "rae.np.toDns" -}}
- to:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: {{ .Values.networkPolicy.dnsNamespace | quote }}
    {{- range .Values.networkPolicy.dns.cidrs }}
    - ipBlock:
        cidr: {{ . | quote }}
    {{- end }}
  ports:
    {{- range .Values.networkPolicy.dns.ports }}
    - protocol: UDP
      port: {{ . }}
    - protocol: TCP
      port: {{ . }}
    {{- end }}
{{ end -}}

{{- define "rae.np.toPostgresql" -}}
{{- if .Values.postgresql.enabled -}}
{{- include "rae.np.to" (dict "root" . "component" "postgresql" "port" 5432) -}}
{{- end -}}
{{- end -}}

{{/* To the bundled stores and the model services. Argument: the root. */}}
{{- define "rae.np.toServices" -}}
{{- include "rae.np.toPostgresql" . -}}
{{- if .Values.redis.enabled -}}
{{- include "rae.np.to" (dict "root" . "component" "redis" "port" 6379) -}}
{{- end -}}
{{- if .Values.qdrant.enabled -}}
{{- include "rae.np.to" (dict "root" . "component" "qdrant" "port" 6333) -}}
{{- end -}}
{{- if .Values.mlService.enabled -}}
{{- include "rae.np.to" (dict "root" . "component" "ml-service" "port" 8001) -}}
{{- end -}}
{{- if .Values.rerankerService.enabled -}}
{{- include "rae.np.to" (dict "root" . "component" "reranker" "port" 8002) -}}
{{- end -}}
{{- end -}}

{{/*
To the internet, without the ranges of `except`. Kubernetes refuses an exception outside of its block, so that each block gets
those that lie in it.
*/}}
{{- define "rae.np.toInternet" -}}
{{- $internet := .Values.networkPolicy.internet -}}
{{- if $internet.enabled -}}
- to:
    {{- range $cidr := $internet.cidrs }}
    - ipBlock:
        cidr: {{ $cidr | quote }}
        {{- $inside := list }}
        {{- range $except := $internet.except }}
        {{- if eq (include "rae.np.lies" (dict "in" $cidr "cidr" $except)) "true" }}
        {{- $inside = append $inside $except }}
        {{- end }}
        {{- end }}
        {{- with $inside }}
        except:
          {{- toYaml . | nindent 10 }}
        {{- end }}
    {{- end }}
  ports:
    - protocol: TCP
      port: {{ $internet.port }}
{{ end -}}
{{- end -}}

{{/*
"true" where one range of addresses lies inside another and is smaller. Of IPv6 only that all of it lies in ::/0 is known.
Argument: dict "in" cidr "cidr" cidr.
*/}}
{{- define "rae.np.lies" -}}
{{- if contains ":" .in -}}
{{- if and (eq .in "::/0") (contains ":" .cidr) (ne .cidr "::/0") -}}true{{- end -}}
{{- else if not (contains ":" .cidr) -}}
{{- $outer := splitList "/" .in -}}
{{- $inner := splitList "/" .cidr -}}
{{- $bits := int (last $outer) -}}
{{- if gt (int (last $inner)) $bits -}}
{{- $size := 1 -}}
{{- range until (int (sub 32 $bits)) -}}{{- $size = mul $size 2 -}}{{- end -}}
{{- if eq (div (include "rae.np.number" (first $outer) | int64) $size) (div (include "rae.np.number" (first $inner) | int64) $size) -}}true{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* An IPv4 address as a number. */}}
{{- define "rae.np.number" -}}
{{- $number := 0 -}}
{{- range splitList "." . -}}{{- $number = add (mul $number 256) (int64 .) -}}{{- end -}}
{{- $number -}}
{{- end -}}

{{/* Rules of the values. Argument: dict "root" $ "rules" list. */}}
{{- define "rae.np.extra" -}}
{{- with .rules -}}
{{- include "rae.tpl" (dict "root" $.root "value" .) }}
{{ end -}}
{{- end -}}
