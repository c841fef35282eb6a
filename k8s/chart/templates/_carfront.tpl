{{/*
The manifests of k8s/base and k8s/components are read as they are; the templates change in them what the
values say. A release's name is the Deployment's, and so the label app.kubernetes.io/instance.
*/}}

{{/* The labels by which a Service finds this release's pods. */}}
{{- define "carfront.selector" -}}
app.kubernetes.io/name: carfront
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* All labels of a resource of this release: those that it has, and Helm's. */}}
{{- define "carfront.labels" -}}
{{- $own := dict "app.kubernetes.io/component" .component "app.kubernetes.io/part-of" "carfront" -}}
{{- if eq .component "server" }}{{ $_ := set $own "app.kubernetes.io/version" .root.Chart.AppVersion }}{{ end -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" .root.Release.Service -}}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version) -}}
{{- mustMerge $own (include "carfront.selector" .root | fromYaml) | toYaml -}}
{{- end }}

{{/* Names a resource, and labels it as a part of the component. */}}
{{- define "carfront.name" -}}
{{- $labels := include "carfront.labels" . | fromYaml -}}
{{- $metadata := .resource.metadata -}}
{{- $_ := set $metadata "name" (default .root.Release.Name .name) -}}
{{- $_ := set $metadata "namespace" .root.Release.Namespace -}}
{{- $_ := set $metadata "labels" (mustMerge $labels (default dict $metadata.labels)) -}}
{{- end }}

{{/* The settings of the server: those of the base and of what is enabled, and the values' above them. */}}
{{- define "carfront.settings" -}}
{{- $kustomization := .Files.Get "files/base/kustomization.yaml" | fromYaml -}}
{{- $settings := dict -}}
{{- range (index $kustomization.configMapGenerator 0).literals -}}
{{- $parts := splitn "=" 2 . -}}
{{- $_ := set $settings $parts._0 $parts._1 -}}
{{- end -}}
{{- if .Values.keysSecret }}{{ $_ := set $settings "CARFRONT_API_KEYS_FILE" "/run/secrets/carfront/keys" }}{{ end -}}
{{- if .Values.tracing.enabled -}}
{{- $_ := set $settings "CARFRONT_TRACES" "otlp" -}}
{{- $_ := set $settings "OTEL_EXPORTER_OTLP_ENDPOINT" .Values.tracing.endpoint -}}
{{- $_ := set $settings "OTEL_SERVICE_NAME" .Release.Name -}}
{{- end -}}
{{- range $name, $value := .Values.settings }}{{ $_ := set $settings $name (toString $value) }}{{ end -}}
{{- toYaml $settings -}}
{{- end }}
