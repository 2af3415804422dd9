{{- define "gatehouse.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 48 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 48 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "gatehouse.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{ include "gatehouse.selector" . }}
{{- end }}

{{- define "gatehouse.selector" -}}
app.kubernetes.io/name: gatehouse
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "gatehouse.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "gatehouse.secret.frontend" -}}
{{ .Values.certificates.frontend.secret | default (printf "%s-frontend-tls" (include "gatehouse.name" .)) }}
{{- end }}

{{- define "gatehouse.secret.bus" -}}
{{ .Values.certificates.bus.secret | default (printf "%s-bus-tls" (include "gatehouse.name" .)) }}
{{- end }}

{{- define "gatehouse.secret.link" -}}
{{ .Values.certificates.link.secret | default (printf "%s-link-tls" (include "gatehouse.name" .)) }}
{{- end }}

{{- define "gatehouse.issuer.internal" -}}
{{ .Values.certificates.internal.issuerRef.name | default (printf "%s-internal" (include "gatehouse.name" .)) }}
{{- end }}

{{- /* Pods run as nobody in particular, on a file system they can't write to. */}}
{{- define "gatehouse.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "gatehouse.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}
