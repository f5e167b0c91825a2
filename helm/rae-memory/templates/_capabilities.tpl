{{/*
What the cluster knows. A built-in kind is never asked for: `helm template` without a cluster does not know them all.
*/}}

{{- define "rae.kubeVersion" -}}
{{- .Capabilities.KubeVersion.Version -}}
{{- end -}}

{{/* "true" where templates are rendered without a cluster: every API server has apiregistration, the offline list lacks it. */}}
{{- define "rae.offline" -}}
{{- if not (.Capabilities.APIVersions.Has "apiregistration.k8s.io/v1") -}}true{{- end -}}
{{- end -}}

{{/* "true" where the cluster has this version of an API, or nothing is known of it. Argument: dict "root" $ "apiVersion" v. */}}
{{- define "rae.hasApi" -}}
{{- if or (.root.Capabilities.APIVersions.Has .apiVersion) (has .apiVersion .root.Values.apiVersionOverrides) (eq (include "rae.offline" .root) "true") -}}
true
{{- end -}}
{{- end -}}

{{/* "true" where the cluster knows the Prometheus Operator. */}}
{{- define "rae.hasMonitoring" -}}
{{- range $version := list "monitoring.coreos.com/v1" "monitoring.coreos.com/v1/ServiceMonitor" -}}
{{- if eq (include "rae.hasApi" (dict "root" $ "apiVersion" $version)) "true" -}}true{{- end -}}
{{- end -}}
{{- end -}}

{{/*
"true" where objects of the Prometheus Operator are wanted and can be made: on by default, they are left out in silence of
Helm, but not of NOTES.txt, where the cluster lacks the operator. Argument: dict "root" $ "wanted" bool.
*/}}
{{- define "rae.monitoringObject" -}}
{{- $monitoring := .root.Values.monitoring -}}
{{- if and $monitoring.enabled .wanted (ne $monitoring.crdCheck "never") -}}
{{- if or (eq $monitoring.crdCheck "always") (include "rae.hasMonitoring" .root) -}}
true
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Stops where an object was asked for that the cluster does not know. Argument: dict "root" $ "apiVersion" v "value" key "needs" text. */}}
{{- define "rae.requireApi" -}}
{{- if ne (include "rae.hasApi" .) "true" -}}
{{- fail (printf "%s is set, but the cluster does not know %s. Install %s first, or name that version in apiVersionOverrides if it will be there." .value .apiVersion .needs) -}}
{{- end -}}
{{- end -}}
