{{/*
Full name of an image. Argument: dict "root" $ "image" map.
A map that names a repository of its own stands alone. Any other gives differences from .Values.image; its tag wins
over a digest that is set there. A digest wins over a tag.
*/}}
{{- define "rae.image" -}}
{{- $base := .root.Values.image -}}
{{- $own := default dict .image -}}
{{- $image := dict "registry" $base.registry "repository" $base.repository "tag" $base.tag "digest" $base.digest -}}
{{- if $own.repository -}}
{{- $image = dict "registry" (default $base.registry $own.registry) "repository" $own.repository "tag" $own.tag "digest" $own.digest -}}
{{- else if or $own.tag $own.digest -}}
{{- $image = dict "registry" (default $base.registry $own.registry) "repository" $base.repository "tag" $own.tag "digest" $own.digest -}}
{{- else if $own.registry -}}
{{- $_ := set $image "registry" $own.registry -}}
{{- end -}}
{{- $registry := default $image.registry .root.Values.global.imageRegistry -}}
{{- $name := ternary (printf "%s/%s" $registry $image.repository) $image.repository (ne (toString (default "" $registry)) "") -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $name $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (include "rae.scalar" (default .root.Chart.AppVersion $image.tag)) -}}
{{- end -}}
{{- end -}}

{{- define "rae.imagePullPolicy" -}}
{{- default .root.Values.image.pullPolicy (default dict .image).pullPolicy -}}
{{- end -}}

{{/* The key imagePullSecrets, or nothing. Argument: the root. */}}
{{- define "rae.imagePullSecrets" -}}
{{- with .Values.global.imagePullSecrets -}}
imagePullSecrets:
{{- range . }}
  - name: {{ ternary . (get (ternary (dict) . (kindIs "string" .)) "name") (kindIs "string" .) }}
{{- end }}
{{- end -}}
{{- end -}}
