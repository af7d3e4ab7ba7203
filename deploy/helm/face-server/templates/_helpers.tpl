{{- define "face.name" -}}
{{ .Release.Name }}-face-server
{{- end }}

{{- define "face.labels" -}}
app.kubernetes.io/name: face-server
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "face.secret" -}}
{{ .Values.existingSecret | default (include "face.name" .) }}
{{- end }}

{{- define "face.pod" -}}
automountServiceAccountToken: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "face.container" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
envFrom:
  - secretRef: {name: {{ include "face.secret" . }}}
env:
  {{- range $name, $value := .Values.settings }}
  - {name: {{ $name }}, value: {{ $value | quote }}}
  {{- end }}
{{- end }}
