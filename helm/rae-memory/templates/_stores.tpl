{{/*
What the bundled stores have in common. PostgreSQL and Redis are one pod each, as a Deployment or a StatefulSet of the same name
and with the same volume claim, so that the kind can be changed without losing data.
*/}}

{{/* A probe that runs a command. Argument: dict "name" "livenessProbe" "probe" map-or-null "command" list. A map with its own handler is taken as it is. */}}
{{- define "rae.store.probe" -}}
{{- if .probe -}}
{{ .name }}:
{{- if or .probe.exec .probe.tcpSocket .probe.httpGet .probe.grpc }}
  {{- toYaml .probe | nindent 2 }}
{{- else }}
  exec:
    command:
      {{- toYaml .command | nindent 6 }}
  {{- toYaml .probe | nindent 2 }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* The three probes. Argument: dict "values" map "command" list "alive" list, the command of all but readiness where it is another. */}}
{{- define "rae.store.probes" -}}
{{- range $name := list "startupProbe" "readinessProbe" "livenessProbe" }}
{{- $command := ternary $.command (default $.command $.alive) (eq $name "readinessProbe") }}
{{- with include "rae.store.probe" (dict "name" $name "probe" (get $.values $name) "command" $command) }}
{{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{/* metadata of a store's object: its name is not always that of the component. Argument: dict "root" $ "component" "redis" "name" text "annotations" map. */}}
{{- define "rae.store.metadata" -}}
name: {{ .name }}
namespace: {{ include "rae.namespace" .root | quote }}
labels:
  {{- include "rae.labels" (dict "root" .root "component" .component) | nindent 2 }}
{{- with include "rae.annotations" (dict "root" .root "annotations" .annotations) }}
{{ . }}
{{- end }}
{{- end -}}

{{/* The beginning of the spec of a store of one pod. Argument: dict "root" $ "component" "redis" "name" text "kind" text. */}}
{{- define "rae.store.spec" -}}
replicas: 1
revisionHistoryLimit: {{ .root.Values.revisionHistoryLimit }}
{{- if eq .kind "StatefulSet" }}
serviceName: {{ .name }}-headless
updateStrategy:
  type: RollingUpdate
{{- else }}
# Two servers on one volume would destroy it: the old one is gone before the new one starts.
strategy:
  type: Recreate
{{- end }}
selector:
  matchLabels:
    {{- include "rae.selectorLabels" (dict "root" .root "component" .component) | nindent 4 }}
{{- end -}}

{{/* The volume "data" of a store of one pod. Argument: dict "name" of the claim "persistence" map. */}}
{{- define "rae.store.dataVolume" -}}
- name: data
  {{- if .persistence.enabled }}
  persistentVolumeClaim:
    claimName: {{ default .name .persistence.existingClaim }}
  {{- else }}
  emptyDir: {}
  {{- end }}
{{- end -}}

{{/*
The claim of a store of one pod. No template of a StatefulSet makes it, as those cannot be changed: this one may grow.
Argument: dict "root" $ "component" "redis" "name" text "persistence" map.
*/}}
{{- define "rae.store.claim" -}}
{{- $persistence := .persistence -}}
{{- $annotations := ternary (dict "helm.sh/resource-policy" "keep") dict (eq $persistence.retention "Retain") -}}
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  {{- include "rae.store.metadata" (dict "root" .root "component" .component "name" .name "annotations" (merge $annotations (default dict $persistence.annotations))) | nindent 2 }}
spec:
  accessModes:
    {{- toYaml $persistence.accessModes | nindent 4 }}
  {{- with include "rae.storageClass" (dict "root" .root "storageClass" $persistence.storageClass) }}
  {{- . | nindent 2 }}
  {{- end }}
  resources:
    requests:
      storage: {{ $persistence.size }}
{{- end -}}

{{/* A service of a store. Argument: dict "root" $ "component" "redis" "name" text "headless" bool "annotations" map "ports" list. */}}
{{- define "rae.store.service" -}}
apiVersion: v1
kind: Service
metadata:
  {{- $name := ternary (printf "%s-headless" .name) .name .headless }}
  {{- include "rae.store.metadata" (dict "root" .root "component" .component "name" $name "annotations" .annotations) | nindent 2 }}
spec:
  type: ClusterIP
  {{- if .headless }}
  clusterIP: None
  # A member of a cluster finds the others before it is ready.
  publishNotReadyAddresses: true
  {{- end }}
  ports:
    {{- toYaml .ports | nindent 4 }}
  selector:
    {{- include "rae.selectorLabels" (dict "root" .root "component" .component) | nindent 4 }}
{{- end -}}

{{/* Further containers and init containers of a store. Argument: dict "root" $ "values" map "key" "sidecars". */}}
{{- define "rae.store.extra" -}}
{{- with get .values .key -}}
{{- include "rae.tpl" (dict "root" $.root "value" .) -}}
{{- end -}}
{{- end -}}

{{/*
Lines of a shell before the server's start: a lock on its volume, which the server inherits and which goes with its last process. It
holds between the containers of a node, where two pods can have one volume, by a rollback across a change of kind for one; PostgreSQL's
own lock does not, as each server is process 1 of its container. Argument: the folder of the volume.
*/}}
{{- define "rae.store.lock" -}}
exec 9>> {{ . }}/.lock
locked=0
flock -n 9 || locked=$?
case $locked in
  0) ;;
  1) echo "another server runs on this volume: this one ends, and changes nothing" >&2; exit 1 ;;
  *) echo "the volume cannot be locked (flock: $locked): nothing here keeps a second server away from it" >&2 ;;
esac
{{- end -}}

{{/*
Stops a change of kind while the workload of the other kind runs: Helm makes the new one before it removes the old one, and
two servers would write to one volume. Argument: dict "root" $ "name" text "kind" text "value" the key.
*/}}
{{- define "rae.store.guard" -}}
{{- $other := ternary "Deployment" "StatefulSet" (eq .kind "StatefulSet") -}}
{{- $old := lookup "apps/v1" $other (include "rae.namespace" .root) .name -}}
{{- if $old -}}
{{- if gt (int (default dict $old.spec).replicas) 0 -}}
{{- fail (printf "%s is %s, but the %s %s still runs on the same volume. Stop it first: kubectl scale %s/%s --replicas=0 -n %s" .value .kind $other .name (lower $other) .name (include "rae.namespace" .root)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A size of a volume in MiB, or nothing where it is written in another way than 50Gi. */}}
{{- define "rae.store.mebibytes" -}}
{{- if regexMatch "^[0-9]+(Mi|Gi|Ti)$" . -}}
{{- mul (regexReplaceAll "[A-Za-z]+$" . "" | int64) (get (dict "Mi" 1 "Gi" 1024 "Ti" 1048576) (regexReplaceAll "^[0-9]+" . "")) -}}
{{- end -}}
{{- end -}}

{{/*
Stops an upgrade that Kubernetes would refuse half-way: the volumes of a StatefulSet cannot be changed in its templates.
Argument: dict "root" $ "name" text "claims" dict of names and sizes.
*/}}
{{- define "rae.store.claimsGuard" -}}
{{- $old := lookup "apps/v1" "StatefulSet" (include "rae.namespace" .root) .name -}}
{{- if $old -}}
{{- $had := dict -}}
{{- range (default dict $old.spec).volumeClaimTemplates -}}
{{- $_ := set $had .metadata.name (toString .spec.resources.requests.storage) -}}
{{- end -}}
{{- $changed := ne (keys $had | sortAlpha | toJson) (keys .claims | sortAlpha | toJson) -}}
{{- range $claim, $size := .claims -}}
{{- $now := include "rae.store.mebibytes" (toString $size) -}}
{{- $then := include "rae.store.mebibytes" (toString (get $had $claim)) -}}
{{- if and $now $then (ne $now $then) -}}{{- $changed = true -}}{{- end -}}
{{- end -}}
{{- if $changed -}}
{{- $namespace := include "rae.namespace" .root -}}
{{- fail (printf "The volumes of the StatefulSet %s are %s and would become %s, which Kubernetes refuses to change. Let go of it, without its pods: kubectl delete statefulset %s --cascade=orphan -n %s. Where a volume is to grow, change its claim too: kubectl patch pvc data-%s-0 -n %s -p '{\"spec\":{\"resources\":{\"requests\":{\"storage\":\"SIZE\"}}}}'. Then upgrade again." .name (toJson $had) (toJson .claims) .name $namespace .name $namespace) -}}
{{- end -}}
{{- end -}}
{{- end -}}
