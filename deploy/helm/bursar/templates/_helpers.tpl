{{- define "bursar.labels" -}}
app.kubernetes.io/name: bursar
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "bursar.selector" -}}
app.kubernetes.io/name: bursar
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "bursar.tls" -}}
{ certificate = "/tls/tls.crt", key = "/tls/tls.key"
{{- if .clientCertificates }}, client_ca = "/tls/ca.crt", require_client_certificate = {{ .requireClientCertificates }}, gateways = [
{{- range $index, $gateway := .gateways }}{{ if $index }}, {{ end }}{ san = {{ $gateway.san | quote }}, name = {{ $gateway.name | quote }} }{{ end }}]
{{- end }} }
{{- end }}
