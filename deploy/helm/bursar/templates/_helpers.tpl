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

{{- /* A setting as text: numbers whole, lists as TOML has them. */ -}}
{{- define "bursar.setting" -}}
{{- if kindIs "map" .value }}{{ fail (printf "settings.%s: write tables as text, as in bursar.example.toml" .name) }}
{{- else if kindIs "slice" .value }}{{ toJson .value }}
{{- else if and (kindIs "float64" .value) (eq .value (floor .value)) }}{{ int64 .value }}
{{- else }}{{ .value }}{{ end }}
{{- end }}

{{- define "bursar.tls" -}}
{{- if and (or .requireClientCertificates .gateways) (not .clientCertificates) }}
{{- fail "tls.requireClientCertificates and tls.gateways need tls.clientCertificates" }}
{{- end -}}
{ certificate = "/tls/tls.crt", key = "/tls/tls.key"
{{- if .clientCertificates }}, client_ca = "/tls/ca.crt", require_client_certificate = {{ .requireClientCertificates }}, gateways = [
{{- range $index, $gateway := .gateways }}{{ if $index }}, {{ end }}{ san = {{ $gateway.san | quote }}, name = {{ $gateway.name | quote }} }{{ end }}]
{{- end }} }
{{- end }}
