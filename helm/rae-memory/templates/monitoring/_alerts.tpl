{{/* Where the runbooks lie: those of the project's repository, unless the values name another place. */}}
{{- define "rae.runbookBase" -}}
{{- default (printf "%s/blob/main/docs/runbooks" (first .Chart.Sources)) .Values.monitoring.prometheusRule.runbookBaseUrl | trimSuffix "/" -}}
{{- end -}}

{{/*
The groups of alert rules, as a YAML list: files/alerts/*.yaml with the release's own names and the thresholds of the values filled
in. The files use $(...) because {{ ... }} belongs to Prometheus in them.
*/}}
{{- define "rae.alertGroups" -}}
{{- $root := . -}}
{{- $rule := .Values.monitoring.prometheusRule -}}
{{- $full := include "rae.fullname" . -}}
{{- $namespace := include "rae.namespace" . -}}
{{- $base := include "rae.runbookBase" . -}}
{{- $fill := dict "$(namespace)" $namespace "$(release)" $full -}}
{{- $jobs := dict -}}
{{- range $name, $component := dict "api" "api" "worker" "celery-worker" "ml" "ml-service" "reranker" "reranker" -}}
{{- $_ := set $jobs $name (include "rae.componentName" (dict "root" $root "component" $component)) -}}
{{- $_ := set $fill (printf "$(%s)" $name) (printf "namespace=%q,job=%q" $namespace (get $jobs $name)) -}}
{{- end -}}
{{- /* Who has the memory store open, and every process. */ -}}
{{- $_ := set $fill "$(store)" (printf "namespace=%q,job=~\"%s|%s\"" $namespace $jobs.api $jobs.worker) -}}
{{- $_ := set $fill "$(any)" (printf "namespace=%q,job=~\"%s\"" $namespace (values $jobs | sortAlpha | join "|")) -}}
{{- $_ := set $fill "$(backup)" (printf "namespace=%q,cronjob=%q" $namespace (include "rae.componentName" (dict "root" $root "component" "backup"))) -}}
{{- range $name, $value := $rule.thresholds -}}
{{- $_ := set $fill (printf "$(thresholds.%s)" $name) (toString (float64 $value)) -}}
{{- end -}}
{{- /* An alert on a target that nobody scrapes would always fire. */ -}}
{{- $pods := .Values.monitoring.podMonitor.enabled -}}
{{- $when := dict "api" .Values.monitoring.serviceMonitor.enabled "worker" (and $pods .Values.celeryWorker.enabled) "ml" (and $pods .Values.mlService.enabled) "reranker" (and $pods .Values.rerankerService.enabled) "backup" .Values.backup.enabled -}}
{{- $known := dict -}}
{{- $groups := list -}}
{{- range $path, $_ := .Files.Glob "files/alerts/*.yaml" -}}
{{- $text := $root.Files.Get $path -}}
{{- range $mark, $value := $fill -}}
{{- $text = replace $mark $value $text -}}
{{- end -}}
{{- $file := fromYaml $text -}}
{{- if $file.Error -}}
{{- fail (printf "%s: %s" $path $file.Error) -}}
{{- end -}}
{{- range $group := $file.groups -}}
{{- $rules := list -}}
{{- range $alert := $group.rules -}}
{{- $_ := set $known $alert.alert true -}}
{{- $own := get $rule.alerts $alert.alert | default dict -}}
{{- $wanted := ternary $own.enabled true (hasKey $own "enabled") -}}
{{- if $alert.when -}}
{{- $wanted = and $wanted (get $when $alert.when) -}}
{{- end -}}
{{- if $wanted -}}
{{- if contains "$(" (toString $alert.expr) -}}
{{- fail (printf "monitoring.prometheusRule.thresholds lacks what the alert %s needs: %s" $alert.alert $alert.expr) -}}
{{- end -}}
{{- $labels := mergeOverwrite dict $alert.labels ($rule.alertLabels | default dict) ($own.labels | default dict) -}}
{{- $runbook := dict "runbook_url" (printf "%s/%s.md" $base $alert.alert) -}}
{{- $annotations := mergeOverwrite dict $alert.annotations $runbook ($rule.alertAnnotations | default dict) ($own.annotations | default dict) -}}
{{- $rules = append $rules (dict "alert" $alert.alert "expr" $alert.expr "for" (default $alert.for $own.for) "labels" $labels "annotations" $annotations) -}}
{{- end -}}
{{- end -}}
{{- if $rules -}}
{{- $made := dict "name" $group.name "rules" $rules -}}
{{- if $rule.interval -}}
{{- $_ := set $made "interval" $rule.interval -}}
{{- end -}}
{{- $groups = append $groups $made -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $name, $_ := $rule.alerts -}}
{{- if not (hasKey $known $name) -}}
{{- fail (printf "monitoring.prometheusRule.alerts names %s, which is no alert of this chart; they are %s" $name (keys $known | sortAlpha | join ", ")) -}}
{{- end -}}
{{- end -}}
{{- with $rule.additionalRules -}}
{{- $groups = append $groups (dict "name" "rae-additional" "rules" .) -}}
{{- end -}}
{{- toYaml $groups -}}
{{- end -}}

{{/*
The PodMonitor of a component without a Service for Prometheus: dict "root" . "component" "celery-worker" "port" "metrics". How it
is scraped is what monitoring.serviceMonitor says. Its job is named as a ServiceMonitor names one, so that dashboard and alerts
find it.
*/}}
{{- define "rae.podMonitor" -}}
{{- $monitor := .root.Values.monitoring.serviceMonitor -}}
{{- $name := include "rae.componentName" . -}}
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata:
  {{- include "rae.guest" (dict "root" .root "name" $name "in" $monitor.namespace) | nindent 2 }}
  labels:
    {{- include "rae.labels" . | nindent 4 }}
    {{- with $monitor.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with include "rae.annotations" (dict "root" .root) }}
  {{- . | nindent 2 }}
  {{- end }}
spec:
  selector:
    matchLabels:
      {{- include "rae.selectorLabels" . | nindent 6 }}
  namespaceSelector:
    matchNames:
      - {{ include "rae.namespace" .root }}
  podMetricsEndpoints:
    - port: {{ .port }}
      path: /metrics
      interval: {{ $monitor.interval }}
      scrapeTimeout: {{ $monitor.scrapeTimeout }}
      {{- with $monitor.authorization }}
      authorization:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      relabelings:
        - targetLabel: job
          replacement: {{ $name }}
        {{- with $monitor.relabelings }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with $monitor.metricRelabelings }}
      metricRelabelings:
        {{- toYaml . | nindent 8 }}
      {{- end }}
{{- end -}}
