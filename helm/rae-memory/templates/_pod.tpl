{{/*
What all pods have in common. "values" are those of the component, with the keys affinity, tolerations and so on.
*/}}

{{/* Argument: dict "root" $ "component" "api" "values" map, and "podSecurityContext" map with differences. */}}
{{- define "rae.podSpec.common" -}}
{{- $root := .root -}}
{{- $global := $root.Values.global -}}
serviceAccountName: {{ include "rae.serviceAccountName" . | quote }}
automountServiceAccountToken: {{ and (eq .component "api") $root.Values.serviceAccount.automount }}
{{- /* Kubernetes would set REDIS_PORT=tcp://... for a service "redis" of the namespace, and the server reads that name. */}}
enableServiceLinks: false
{{- with include "rae.imagePullSecrets" $root }}
{{ . }}
{{- end }}
securityContext:
  {{- include "rae.podSecurityContext" . | nindent 2 }}
{{- with default $global.priorityClassName .values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .values.runtimeClassName }}
runtimeClassName: {{ . | quote }}
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
  {{- /* The path of the default is merged in, and is no field of a probe. */}}
  {{- toYaml (omit .probe "path") | nindent 2 }}
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

{{/*
The migration as an init container, or nothing. Argument: dict "root" $ "values" map of the component, whose mounts it shares,
as they may hold the certificate of the database, and "wait" true to wait for the database in the container itself.
*/}}
{{- define "rae.migrationContainer" -}}
- name: migrate
  image: {{ include "rae.image" (dict "root" .root "image" .values.image) }}
  imagePullPolicy: {{ include "rae.imagePullPolicy" (dict "root" .root "image" .values.image) }}
  {{- if .wait }}
  command: ["/bin/sh", "-eu", "-c"]
  args:
    - |
      {{- include "rae.migrations.script" .root | nindent 6 }}
  {{- else }}
  args: ["migrate"]
  {{- end }}
  workingDir: /var/lib/rae
  {{- with include "rae.env" (dict "root" .root "role" "migrate" "values" (list .values .root.Values.migrations)) }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- include "rae.envFrom" (dict "root" .root "values" (list .values .root.Values.migrations)) | nindent 2 }}
  securityContext:
    {{- include "rae.securityContext" (dict "root" .root) | nindent 4 }}
  resources:
    {{- toYaml .root.Values.migrations.resources | nindent 4 }}
  volumeMounts:
    - name: data
      mountPath: /var/lib/rae
    - name: tmp
      mountPath: /tmp
    {{- with include "rae.byKey" (dict "root" .root "key" "mountPath" "lists" (list .values.extraVolumeMounts .root.Values.migrations.extraVolumeMounts)) }}
    {{- . | nindent 4 }}
    {{- end }}
{{- end -}}

{{/* The key "initContainers", or nothing. Argument: dict "root" $ "values" map "migrate" bool. */}}
{{- define "rae.initContainers" -}}
{{- $migrate := and .migrate .root.Values.migrations.enabled (eq .root.Values.migrations.mode "init") -}}
{{- if or .values.initContainers $migrate -}}
initContainers:
  {{- with .values.initContainers }}
  {{- include "rae.tpl" (dict "root" $.root "value" .) | nindent 2 }}
  {{- end }}
  {{- if $migrate }}
  {{- include "rae.migrationContainer" . | nindent 2 }}
  {{- end }}
{{- end -}}
{{- end -}}

{{/*
The rest of a container of ours after its ports: environment, probes, resources, mounts.
Argument: dict "root" $ "role" "api" "values" map "port" "http" "mounts" list of own mounts.
*/}}
{{- define "rae.container" -}}
image: {{ include "rae.image" (dict "root" .root "image" .values.image) }}
imagePullPolicy: {{ include "rae.imagePullPolicy" (dict "root" .root "image" .values.image) }}
args: [{{ .role | quote }}]
workingDir: /var/lib/rae
{{- with include "rae.env" . }}
{{ . }}
{{- end }}
{{ include "rae.envFrom" . }}
{{- include "rae.probes" . }}
{{- with .values.lifecycle }}
lifecycle:
  {{- include "rae.tpl" (dict "root" $.root "value" .) | nindent 2 }}
{{- end }}
securityContext:
  {{- include "rae.securityContext" (dict "root" .root) | nindent 2 }}
resources:
  {{- include "rae.containerResources" . | nindent 2 }}
volumeMounts:
  - name: data
    mountPath: /var/lib/rae
  - name: tmp
    mountPath: /tmp
  {{- with .mounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- with .values.extraVolumeMounts }}
  {{- include "rae.tpl" (dict "root" $.root "value" .) | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "rae.containerResources" -}}
{{- $resources := deepCopy .values.resources -}}
{{- with .values.gpu -}}
{{- if .enabled -}}
{{- $_ := set $resources "limits" (merge (dict .resource (toString .count)) (default dict $resources.limits)) -}}
{{- end -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}

{{/*
The folders that a process of ours writes to, as the root is read-only, and further volumes. Argument: dict "root" $ "values" map
"migrate" bool, true where the pod may migrate.
*/}}
{{- define "rae.volumes" -}}
- name: data
  {{- if (default dict .values.dataVolume).sizeLimit }}
  emptyDir:
    sizeLimit: {{ .values.dataVolume.sizeLimit }}
  {{- else }}
  emptyDir: {}
  {{- end }}
- name: tmp
  emptyDir: {}
{{- $migrations := ternary .root.Values.migrations.extraVolumes list (and (default false .migrate) (eq .root.Values.migrations.mode "init")) }}
{{- with include "rae.byKey" (dict "root" .root "key" "name" "lists" (list $migrations .values.extraVolumes)) }}
{{ . }}
{{- end }}
{{- end -}}

{{/* Lists as one YAML list in which a key's value stands once: the later one wins. Argument: dict "root" $ "key" "name" "lists" list. */}}
{{- define "rae.byKey" -}}
{{- $found := list -}}
{{- range $list := .lists -}}
{{- range $one := (include "rae.tpl" (dict "root" $.root "value" (default list $list)) | fromYamlArray) -}}
{{- $rest := list -}}
{{- range $seen := $found -}}
{{- if ne (toString (get $seen $.key)) (toString (get $one $.key)) -}}{{- $rest = append $rest $seen -}}{{- end -}}
{{- end -}}
{{- $found = append $rest $one -}}
{{- end -}}
{{- end -}}
{{- with $found -}}{{- toYaml . -}}{{- end -}}
{{- end -}}

{{/* The spec of an HPA. Argument: dict "root" $ "component" name "autoscaling" map. */}}
{{- define "rae.hpaSpec" -}}
scaleTargetRef:
  apiVersion: apps/v1
  kind: Deployment
  name: {{ include "rae.componentName" . }}
minReplicas: {{ int .autoscaling.minReplicas }}
maxReplicas: {{ int .autoscaling.maxReplicas }}
metrics:
  {{- with .autoscaling.targetCPUUtilizationPercentage }}
  - type: Resource
    resource:
      name: cpu
      target:
        type: Utilization
        averageUtilization: {{ int . }}
  {{- end }}
  {{- with .autoscaling.targetMemoryUtilizationPercentage }}
  - type: Resource
    resource:
      name: memory
      target:
        type: Utilization
        averageUtilization: {{ int . }}
  {{- end }}
  {{- with .autoscaling.customMetrics }}
  {{- include "rae.tpl" (dict "root" $.root "value" .) | nindent 2 }}
  {{- end }}
{{- with .autoscaling.behavior }}
behavior:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* metadata of an object of a component. Argument: dict "root" $ "component" name "annotations" map. */}}
{{- define "rae.metadata" -}}
name: {{ include "rae.componentName" . }}
namespace: {{ include "rae.namespace" .root | quote }}
labels:
  {{- include "rae.labels" . | nindent 2 }}
{{- with include "rae.annotations" . }}
{{ . }}
{{- end }}
{{- end -}}

{{/* The spec of a VerticalPodAutoscaler. Argument: dict "root" $ "component" name. */}}
{{- define "rae.vpaSpec" -}}
targetRef:
  apiVersion: apps/v1
  kind: Deployment
  name: {{ include "rae.componentName" . }}
updatePolicy:
  updateMode: {{ .root.Values.vpa.updateMode | quote }}
{{- end -}}

{{/* A pod of `helm test` that runs a script with the image's shell. Argument: dict "root" $ "name" "health" "script" text "weight" n. */}}
{{- define "rae.testPod" -}}
{{- $values := .root.Values.tests -}}
{{- $hook := dict "helm.sh/hook" "test" "helm.sh/hook-delete-policy" "before-hook-creation,hook-succeeded" "helm.sh/hook-weight" (toString .weight) -}}
{{- $skips := include "rae.checkovSkips" (list "CKV_K8S_15" "CKV_K8S_35" "CKV_K8S_40" "CKV_K8S_43" "CKV_K8S_8" "CKV_K8S_9") | fromYaml -}}
apiVersion: v1
kind: Pod
metadata:
  name: {{ include "rae.componentName" (dict "root" .root "component" (printf "test-%s" .name)) }}
  namespace: {{ include "rae.namespace" .root | quote }}
  labels:
    {{- include "rae.labels" (dict "root" .root "component" "test") | nindent 4 }}
  {{- include "rae.annotations" (dict "root" .root "annotations" (merge $hook $skips)) | nindent 2 }}
spec:
  {{- include "rae.podSpec.common" (dict "root" .root "component" "test" "values" $values) | nindent 2 }}
  restartPolicy: Never
  containers:
    - name: test
      image: {{ include "rae.image" (dict "root" .root "image" $values.image) }}
      imagePullPolicy: {{ include "rae.imagePullPolicy" (dict "root" .root "image" $values.image) }}
      command: ["/bin/sh", "-eu", "-c"]
      args:
        - |
          {{- .script | trim | nindent 10 }}
      env:
        - name: API
          value: {{ printf "http://%s:%d" (include "rae.componentName" (dict "root" .root "component" "api")) (int .root.Values.memoryApi.service.port) }}
        - name: KEY
          valueFrom:
            secretKeyRef:
              name: {{ default (include "rae.appSecretName" .root) $values.existingSecret | quote }}
              key: {{ ternary $values.existingSecretKey (default "api-master-key" .root.Values.secrets.keys.apiMasterKey) (ne $values.existingSecret "") }}
              optional: true
      securityContext:
        {{- include "rae.securityContext" (dict "root" .root) | nindent 8 }}
      resources:
        {{- toYaml $values.resources | nindent 8 }}
      volumeMounts:
        - name: tmp
          mountPath: /tmp
  volumes:
    - name: tmp
      emptyDir: {}
{{- end -}}

{{/* The key "strategy" of a Deployment. A Recreate must not have the settings of the default. Argument: map. */}}
{{- define "rae.strategy" -}}
strategy:
  {{- toYaml (ternary (omit . "rollingUpdate") . (eq .type "Recreate")) | nindent 2 }}
{{- end -}}
