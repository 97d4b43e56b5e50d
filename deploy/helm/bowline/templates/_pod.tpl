{{/* The metadata of a pod of a role. */}}
{{- define "bowline.pod.metadata" -}}
{{- $role := index .root.Values .component -}}
labels:
  {{- include "bowline.selector" . | nindent 2 }}
  app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
  {{- with .root.Values.labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- with $role.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge dict $role.podAnnotations (.annotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* What the pods of all roles have: who they run as, and where they run. */}}
{{- define "bowline.pod.spec" -}}
{{- $role := index .root.Values .component -}}
serviceAccountName: bowline-{{ .component }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
# No variables for every Service of the namespace.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: { type: RuntimeDefault }
{{- with $role.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $role.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $role.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $role.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Replicas of a Deployment stand apart where that is possible, and start where it is not. */}}
{{- define "bowline.pod.spread" -}}
topologySpreadConstraints:
  {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "bowline.selector" $ | nindent 8 }}
    # Pods of the version before do not count while an upgrade rolls.
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end -}}

{{/* What the containers of all roles have, but for arguments, ports and mounts. */}}
{{- define "bowline.pod.container" -}}
{{- $role := index .root.Values .component -}}
name: {{ .component }}
image: {{ include "bowline.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
env:
  - { name: BOWLINE_LOG, value: {{ .root.Values.logLevel | quote }} }
  {{- with $role.env }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
resources:
  {{- toYaml $role.resources | nindent 2 }}
startupProbe:
  httpGet: { path: /healthz, port: admin }
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: { path: /healthz, port: admin }
  periodSeconds: 10
  timeoutSeconds: 5
readinessProbe:
  httpGet: { path: /readyz, port: admin }
  periodSeconds: 5
  timeoutSeconds: 5
{{- end -}}

{{/* Arguments from values: those that all roles take, then the role's own. */}}
{{- define "bowline.pod.arguments" -}}
{{- with .root.Values.otlp.endpoint }}
{{- if ne $.component "operator" }}
- --otlp={{ . }}
{{- end }}
{{- end }}
{{- with (index .root.Values .component).args }}
{{ toYaml . }}
{{- end }}
{{- end -}}
