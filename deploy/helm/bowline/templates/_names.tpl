{{/* Names are fixed, as the roles call each other by them: one install per namespace. What belongs to the whole cluster is named after the
     namespace where several installs may be there, which is when an operator sees some namespaces only. */}}
{{- define "bowline.clusterSuffix" -}}
{{- if .Values.operator.namespaces }}-{{ .Release.Namespace }}{{ end -}}
{{- end -}}

{{- define "bowline.selector" -}}
app.kubernetes.io/name: bowline
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Of every object; `component` is left out for what belongs to no role. */}}
{{- define "bowline.labels" -}}
app.kubernetes.io/name: bowline
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: bowline
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "bowline.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* What `auto` comes to: whether the cluster has the kind. */}}
{{- define "bowline.wanted" -}}
{{- if or (eq .when "always") (and (eq .when "auto") (.root.Capabilities.APIVersions.Has .kind)) -}}true{{- end -}}
{{- end -}}
