{{/*
Names, labels, annotations. Every object of the chart takes them from here.
*/}}

{{- define "rae.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* The prefix of all names: the release's name, once. */}}
{{- define "rae.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- include "rae.cut" (dict "name" .Values.fullnameOverride "length" 63) -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- include "rae.cut" (dict "name" .Release.Name "length" 63) -}}
{{- else -}}
{{- include "rae.cut" (dict "name" (printf "%s-%s" .Release.Name $name) "length" 63) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A name that is too long is cut, with a hash of all of it, so that two long names stay two names. */}}
{{- define "rae.cut" -}}
{{- $name := .name | trimSuffix "-" -}}
{{- if gt (len $name) (int .length) -}}
{{- printf "%s-%s" ($name | trunc (int (sub .length 9)) | trimSuffix "-") (sha256sum $name | trunc 8) -}}
{{- else -}}
{{- $name -}}
{{- end -}}
{{- end -}}

{{/*
Name of a component's objects. Argument: dict "root" $ "component" "api".
At most 52 characters: Kubernetes adds a hash of ten to the names of StatefulSets and CronJobs and puts that into a label.
*/}}
{{- define "rae.componentName" -}}
{{- $length := int (sub 51 (len .component)) -}}
{{- printf "%s-%s" (include "rae.cut" (dict "name" (include "rae.fullname" .root) "length" $length)) .component -}}
{{- end -}}

{{/*
The lines "name" and "namespace" of an object that may lie in a namespace of others, such as that of Prometheus: its name carries
the release's namespace there, as releases of one name in two namespaces would meet. Argument: dict "root" $ "name" n "in" namespace-or-"".
*/}}
{{- define "rae.guest" -}}
{{- $own := include "rae.namespace" .root -}}
{{- $namespace := default $own .in -}}
name: {{ ternary .name (include "rae.cut" (dict "name" (printf "%s-%s" .name $own) "length" 63)) (eq $namespace $own) }}
namespace: {{ $namespace }}
{{- end -}}

{{- define "rae.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{- define "rae.chart" -}}
{{- printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Labels of every object. Argument: dict "root" $ "component" "api"; the component may be left out. */}}
{{- define "rae.labels" -}}
{{- $labels := dict "helm.sh/chart" (include "rae.chart" .root) -}}
{{- $labels = merge (include "rae.selectorLabels" . | fromYaml) $labels -}}
{{- $_ := set $labels "app.kubernetes.io/version" (.root.Chart.AppVersion | replace "+" "_" | trunc 63) -}}
{{- $_ := set $labels "app.kubernetes.io/managed-by" .root.Release.Service -}}
{{- $_ := set $labels "app.kubernetes.io/part-of" "rae" -}}
{{- range $key, $value := .root.Values.commonLabels -}}
{{- if not (hasKey $labels $key) -}}{{- $_ := set $labels $key (toString $value) -}}{{- end -}}
{{- end -}}
{{- toYaml $labels -}}
{{- end -}}

{{/* Labels by which pods are selected. They never change: selectors are immutable. */}}
{{- define "rae.selectorLabels" -}}
app.kubernetes.io/name: {{ include "rae.name" .root | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end -}}

{{/* The key "annotations" with those of all objects and of this one, or nothing. Argument: dict "root" $ "annotations" map. */}}
{{- define "rae.annotations" -}}
{{- $all := merge (dict) (default dict .annotations) (default dict .root.Values.commonAnnotations) -}}
{{- with $all -}}
annotations:
{{- range $key, $value := . }}
  {{ $key }}: {{ toString $value | quote }}
{{- end }}
{{- end -}}
{{- end -}}

{{/*
Checks of checkov that do not hold for a workload, each with its reason. Argument: list of their numbers.
The result is a map of annotations, to be read with fromYaml.
*/}}
{{- define "rae.checkovSkips" -}}
{{- $reasons := dict
  "CKV2_K8S_5" "The documented default. No token is mounted unless asked for; rbac.restrictToOwn names the Secrets, rbac.create drops the Role"
  "CKV_K8S_8" "The pod of a test ends by itself"
  "CKV_K8S_9" "Nothing is sent to the pod of a test"
  "CKV_K8S_15" "Released tags are not written anew, so a node need not ask the registry at each start"
  "CKV_K8S_35" "Settings are read from the environment, as the manual of the server and of the stores says"
  "CKV_K8S_40" "UID 1000 is the user of the image and of documented volumes"
  "CKV_K8S_43" "The digest is set by image.digest, as it is known when an image is published"
-}}
{{- range $i, $id := . }}
checkov.io/skip{{ add1 $i }}: {{ printf "%s=%s" $id (get $reasons $id) | quote }}
{{- end }}
{{- end -}}

{{/* Name of the service account of a component. Only the API's may be given rights; all others share one that has none. */}}
{{- define "rae.serviceAccountName" -}}
{{- $values := .root.Values.serviceAccount -}}
{{- if eq .component "api" -}}
{{- if $values.create -}}
{{- default (include "rae.componentName" (dict "root" .root "component" "api")) $values.name -}}
{{- else -}}
{{- default "default" $values.name -}}
{{- end -}}
{{- else if $values.create -}}
{{- include "rae.componentName" (dict "root" .root "component" "internal") -}}
{{- else -}}
default
{{- end -}}
{{- end -}}

{{/* Names of the stores' services. */}}
{{- define "rae.postgresql.host" -}}
{{- include "rae.componentName" (dict "root" . "component" "postgresql") -}}
{{- end -}}
{{- define "rae.redis.host" -}}
{{- include "rae.componentName" (dict "root" . "component" "redis-master") -}}
{{- end -}}
{{- define "rae.qdrant.host" -}}
{{- include "rae.componentName" (dict "root" . "component" "qdrant") -}}
{{- end -}}

{{/* The class of a volume. Argument: dict "root" $ "storageClass" value. "-" means the empty class. */}}
{{- define "rae.storageClass" -}}
{{- with default .root.Values.global.storageClass .storageClass -}}
storageClassName: {{ ternary "" . (eq . "-") | quote }}
{{- end -}}
{{- end -}}

{{- define "rae.configMapName" -}}
{{- include "rae.componentName" (dict "root" . "component" "config") -}}
{{- end -}}

{{/*
The paths that are published. /metrics asks nobody for a key; a path of a controller's own could not be shut alike everywhere, so that
those of the API are named instead. Argument: dict "paths" list "prefix" the type's name "apiOnly" bool.
*/}}
{{- define "rae.publishedPaths" -}}
{{- $published := list -}}
{{- range $one := default (list (dict "path" "/" "pathType" .prefix)) .paths -}}
{{- if and $.apiOnly (eq $one.path "/") -}}
{{- range list "/v1" "/health" "/docs" "/openapi.json" -}}
{{- $published = append $published (dict "path" . "pathType" $.prefix) -}}
{{- end -}}
{{- else -}}
{{- $published = append $published $one -}}
{{- end -}}
{{- end -}}
{{- toYaml $published -}}
{{- end -}}
