{{/*
What all pods have in common. "values" are those of the component, with the keys affinity, tolerations and so on.
*/}}

{{/* Argument: dict "root" $ "component" "api" "values" map, and "podSecurityContext" map with differences. */}}
{{- define "rae.podSpec.common" -}}
{{- $root := .root -}}
{{- $global := $root.Values.global -}}
serviceAccountName: {{ include "rae.serviceAccountName" . }}
automountServiceAccountToken: {{ and (eq .component "api") $root.Values.serviceAccount.automount }}
{{- /* Kubernetes would set REDIS_PORT=tcp://... for a service "redis" of the namespace, and the server reads that name. */}}
enableServiceLinks: false
{{- with include "rae.imagePullSecrets" $root }}
{{ . }}
{{- end }}
securityContext:
  {{- include "rae.podSecurityContext" . | nindent 2 }}
{{- with default $global.priorityClassName .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with default $global.nodeSelector .values.nodeSelector }}
nodeSelector:
  {{- include "rae.tpl" (dict "root" $root "value" .) | nindent 2 }}
{{- end }}
{{- with default $global.tolerations .values.tolerations }}
tolerations:
  {{- include "rae.tpl" (dict "root" $root "value" .) | nindent 2 }}
{{- end }}
{{- with default $global.affinity .values.affinity }}
affinity:
  {{- include "rae.tpl" (dict "root" $root "value" .) | nindent 2 }}
{{- end }}
{{- with include "rae.topologySpread" . }}
{{ . }}
{{- end }}
{{- with .values.dnsConfig }}
dnsConfig:
  {{- include "rae.tpl" (dict "root" $root "value" .) | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Constraints of the component, else of all, else a soft one over the nodes. */}}
{{- define "rae.topologySpread" -}}
{{- $global := .root.Values.global -}}
{{- $given := default $global.topologySpreadConstraints .values.topologySpreadConstraints -}}
{{- if $given -}}
topologySpreadConstraints:
  {{- include "rae.tpl" (dict "root" .root "value" $given) | nindent 2 }}
{{- else if and $global.defaultTopologySpread (hasKey .values "topologySpreadConstraints") -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "rae.selectorLabels" . | nindent 8 }}
{{- end -}}
{{- end -}}

{{/* Values as YAML, with their templates evaluated. Argument: dict "root" $ "value" any. */}}
{{- define "rae.tpl" -}}
{{- $text := toYaml .value -}}
{{- if contains "{{" $text -}}{{- tpl $text .root -}}{{- else -}}{{- $text -}}{{- end -}}
{{- end -}}

{{- define "rae.podSecurityContext" -}}
{{- toYaml (mergeOverwrite (deepCopy .root.Values.podSecurityContext) (deepCopy (default dict .podSecurityContext))) -}}
{{- end -}}

{{/* Argument: dict "root" $ "securityContext" map with differences. */}}
{{- define "rae.securityContext" -}}
{{- toYaml (mergeOverwrite (deepCopy .root.Values.securityContext) (deepCopy (default dict .securityContext))) -}}
{{- end -}}

{{/* Labels of pods: those by which they are selected win. Argument as of rae.podSpec.common. */}}
{{- define "rae.podLabels" -}}
{{- $labels := include "rae.labels" . | fromYaml -}}
{{- /* A new version of the chart alone must not replace the pods of a database. */ -}}
{{- $labels = omit $labels "helm.sh/chart" "app.kubernetes.io/version" -}}
{{- with .values.podLabels -}}
{{- range $key, $value := include "rae.tpl" (dict "root" $.root "value" .) | fromYaml -}}
{{- if not (hasPrefix "app.kubernetes.io/" $key) -}}{{- $_ := set $labels $key (toString $value) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $labels -}}
{{- end -}}

{{/* The key "annotations" of pods. Argument: dict "root" $ "values" map "annotations" map with checksums. */}}
{{- define "rae.podAnnotations" -}}
{{- $own := dict -}}
{{- with .values.podAnnotations -}}{{- $own = include "rae.tpl" (dict "root" $.root "value" .) | fromYaml -}}{{- end -}}
{{- include "rae.annotations" (dict "root" .root "annotations" (merge (dict) $own (default dict .annotations))) -}}
{{- end -}}

{{/* A probe over HTTP. Argument: dict "name" "livenessProbe" "probe" map-or-null "port" "http". A map with its own handler is taken as it is. */}}
{{- define "rae.probe" -}}
{{- if .probe -}}
{{ .name }}:
{{- if or .probe.exec .probe.tcpSocket .probe.httpGet .probe.grpc }}
  {{- toYaml .probe | nindent 2 }}
{{- else }}
  httpGet:
    path: {{ .probe.path }}
    port: {{ .port }}
  {{- toYaml (omit .probe "path") | nindent 2 }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* The three probes. Argument: dict "values" map "port" "http". */}}
{{- define "rae.probes" -}}
{{- range $name := list "startupProbe" "readinessProbe" "livenessProbe" }}
{{- with include "rae.probe" (dict "name" $name "probe" (get $.values $name) "port" $.port) }}
{{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The spec of a PodDisruptionBudget. Argument: dict "root" $ "component" name "pdb" map. */}}
{{- define "rae.pdbSpec" -}}
{{- if not (kindIs "invalid" .pdb.minAvailable) -}}
minAvailable: {{ .pdb.minAvailable }}
{{- else -}}
maxUnavailable: {{ .pdb.maxUnavailable }}
{{- end }}
{{- /* A pod that is broken anyway must not hold up the drain of its node. */}}
{{- if semverCompare ">=1.27-0" (include "rae.kubeVersion" .root) }}
unhealthyPodEvictionPolicy: AlwaysAllow
{{- end }}
selector:
  matchLabels:
    {{- include "rae.selectorLabels" . | nindent 4 }}
{{- end -}}
