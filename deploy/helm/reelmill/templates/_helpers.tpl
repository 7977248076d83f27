{{- define "reelmill.fullname" -}}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride }}
{{- else if contains "reelmill" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}{{ printf "%s-reelmill" .Release.Name | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "reelmill.image" -}}
{{- with .Values.image }}{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}{{ end }}
{{- end }}

{{- /* What never changes of a part: (root, part, component). */}}
{{- define "reelmill.selector" -}}
app.kubernetes.io/name: reelmill
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
reelmill/part: {{ .part }}
{{- end }}

{{- /* Labels of every object: (root, part, component). Of a Service, the component is the job in Prometheus. */}}
{{- define "reelmill.labels" -}}
{{ include "reelmill.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "reelmill.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "reelmill.fullname" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{- define "reelmill.secret" -}}
{{- .Values.secrets.existing | default (include "reelmill.fullname" .) }}
{{- end }}

{{- /* Where the engines are: given, or the chart's own. */}}
{{- define "reelmill.kafka" -}}
{{- .Values.endpoints.kafka | default (printf "%s-kafka:9092" (include "reelmill.fullname" .)) }}
{{- end }}
{{- define "reelmill.registry" -}}
{{- .Values.endpoints.registry | default (printf "http://%s-registry:8080/apis/ccompat/v7" (include "reelmill.fullname" .)) }}
{{- end }}
{{- define "reelmill.s3" -}}
{{- .Values.endpoints.s3 | default (printf "http://%s-s3:7070" (include "reelmill.fullname" .)) }}
{{- end }}
{{- define "reelmill.opensearch" -}}
{{- .Values.endpoints.opensearch | default (printf "http://%s-opensearch:9200" (include "reelmill.fullname" .)) }}
{{- end }}
{{- define "reelmill.rekognition" -}}
{{- .Values.endpoints.rekognition | default (printf "http://%s-vision:9001" (include "reelmill.fullname" .)) }}
{{- end }}

{{- /* A processor's values, as JSON: (root, name). */}}
{{- define "reelmill.processor" -}}
{{- mergeOverwrite (deepCopy .root.Values.processorDefaults) (deepCopy (index .root.Values.processors .name | default dict)) | toJson }}
{{- end }}

{{- /* A variable from the Secret: (root, name, optional). */}}
{{- define "reelmill.fromSecret" -}}
- name: {{ .name }}
  valueFrom:
    secretKeyRef:
      name: {{ include "reelmill.secret" .root }}
      key: {{ .name }}
      {{- if .optional }}
      optional: true
      {{- end }}
{{- end }}

{{- /* Whether Kafka is told a user. */}}
{{- define "reelmill.kafkaUser" -}}
{{- if has .Values.kafka.security (list "sasl-plain" "scram-sha-256" "scram-sha-512") }}yes{{ end }}
{{- end }}

{{- /* Whether the role of the ServiceAccount is used. */}}
{{- define "reelmill.hasRole" -}}
{{- if or (eq .Values.aws.credentials "role") .Values.aws.opensearchIam (eq .Values.kafka.security "aws-msk-iam") }}yes{{ end }}
{{- end }}

{{- /* Whether there are keys: a role needs none, but for a detector of our own. */}}
{{- define "reelmill.hasKeys" -}}
{{- if or (ne .Values.aws.credentials "role") (not .Values.endpoints.rekognition) }}yes{{ end }}
{{- end }}

{{- define "reelmill.env.kafka" -}}
- { name: REELMILL_KAFKA, value: {{ include "reelmill.kafka" . | quote }} }
- { name: REELMILL_KAFKA_SECURITY, value: {{ .Values.kafka.security | quote }} }
{{- with .Values.kafka.ca }}
- { name: REELMILL_KAFKA_CA, value: {{ printf "/etc/reelmill/certificates/%s" . | quote }} }
{{- end }}
{{- if include "reelmill.kafkaUser" . }}
{{ include "reelmill.fromSecret" (dict "root" . "name" "REELMILL_KAFKA_USER") }}
{{ include "reelmill.fromSecret" (dict "root" . "name" "REELMILL_KAFKA_PASSWORD") }}
{{- end }}
{{ include "reelmill.env.region" . }}
{{- end }}

{{- define "reelmill.env.region" -}}
- { name: REELMILL_REGION, value: {{ .Values.aws.region | quote }} }
{{- if include "reelmill.hasRole" . }}
# Kafka lets a connection go on with new credentials only under the same name.
- { name: AWS_ROLE_SESSION_NAME, value: reelmill }
{{- end }}
{{- end }}

{{- define "reelmill.env.keys" -}}
- { name: REELMILL_S3, value: {{ include "reelmill.s3" . | quote }} }
- { name: REELMILL_CREDENTIALS, value: {{ ternary "aws" "keys" (eq .Values.aws.credentials "role") }} }
{{- if include "reelmill.hasKeys" . }}
{{ include "reelmill.fromSecret" (dict "root" . "name" "REELMILL_ACCESS_KEY") }}
{{ include "reelmill.fromSecret" (dict "root" . "name" "REELMILL_SECRET_KEY") }}
{{- end }}
{{- end }}

{{- define "reelmill.env.log" -}}
{{- with .Values.settings.log }}
- { name: REELMILL_LOG, value: {{ . | quote }} }
{{- end }}
{{- end }}

{{- /* What processors and the API share. */}}
{{- define "reelmill.env.shared" -}}
{{ include "reelmill.env.kafka" . }}
{{- if .Values.secrets.registry }}
{{ include "reelmill.fromSecret" (dict "root" . "name" "REELMILL_REGISTRY") }}
{{- else }}
- { name: REELMILL_REGISTRY, value: {{ include "reelmill.registry" . | quote }} }
{{- end }}
{{ include "reelmill.env.keys" . }}
{{ include "reelmill.fromSecret" (dict "root" . "name" "REELMILL_DATABASE") }}
- { name: REELMILL_OPENSEARCH, value: {{ include "reelmill.opensearch" . | quote }} }
{{- if .Values.aws.opensearchIam }}
- { name: REELMILL_OPENSEARCH_IAM, value: "true" }
{{- else }}
{{ include "reelmill.fromSecret" (dict "root" . "name" "REELMILL_OPENSEARCH_USER" "optional" true) }}
{{ include "reelmill.fromSecret" (dict "root" . "name" "REELMILL_OPENSEARCH_PASSWORD" "optional" true) }}
{{- end }}
- { name: REELMILL_OPENSEARCH_INDEX, value: {{ .Values.settings.opensearchIndex | quote }} }
- { name: REELMILL_BUCKET, value: {{ .Values.settings.bucket | quote }} }
- { name: REELMILL_START_TIMEOUT, value: {{ .Values.settings.startTimeoutSeconds | int64 | quote }} }
- { name: REELMILL_SCRATCH_MAX_BYTES, value: {{ .Values.scratch.maxBytes | int64 | quote }} }
{{- with .Values.endpoints.otlp }}
- { name: REELMILL_OTLP, value: {{ . | quote }} }
{{- end }}
{{- end }}

{{- define "reelmill.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "reelmill.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{- /* Metadata of a pod: (root, part, component). The Secret's sum starts pods anew when the chart changes it. */}}
{{- define "reelmill.podMetadata" -}}
labels:
  {{- include "reelmill.selector" . | nindent 2 }}
  {{- with .root.Values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- $annotations := deepCopy .root.Values.podAnnotations }}
{{- if not .root.Values.secrets.existing }}
{{- $_ := set $annotations "reelmill/secret" (include (print .root.Template.BasePath "/secret.yaml") .root | sha256sum | trunc 16) }}
{{- end }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* What every pod of the program has: (root, part, component, values). */}}
{{- define "reelmill.podBasics" -}}
serviceAccountName: {{ include "reelmill.serviceAccount" .root }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  {{- include "reelmill.podSecurity" . | nindent 2 }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $selector := include "reelmill.selector" . }}
{{- with .root.Values.spreadOver }}
topologySpreadConstraints:
  {{- range . }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- $selector | nindent 8 }}
  {{- end }}
{{- end }}
{{- end }}

{{- /* Whether a part reads certificates: (root, part, database). */}}
{{- define "reelmill.certificates" -}}
{{- if and .root.Values.certificatesConfigMap (or .database (and .root.Values.kafka.ca (ne .part "vision"))) }}yes{{ end }}
{{- end }}

{{- /* A part that works until it is told to stop: (root, part, component, values, args, env, port, portName,
     live, scratch). `live` is the path of the liveness probe. A part that listens on loopback alone is asked
     from within (`within`). */}}
{{- define "reelmill.podSpec" -}}
{{- $probe := printf "httpGet: { path: %%s, port: %s }" .portName }}
{{- $within := printf "exec: { command: [reelmill, health, --url, \"http://127.0.0.1:%v\"] }" .port }}
{{ include "reelmill.podBasics" . }}
terminationGracePeriodSeconds: {{ .values.terminationGracePeriodSeconds | int64 }}
containers:
  - name: {{ .part }}
    image: {{ include "reelmill.image" .root | quote }}
    imagePullPolicy: {{ .root.Values.image.pullPolicy }}
    args: {{ .args | toJson }}
    env:
      {{- .env | trim | nindent 6 }}
    ports:
      - { name: {{ .portName }}, containerPort: {{ .port }} }
    # It waits for services that are away, and then ends to be started again.
    startupProbe:
      {{ if .within }}{{ $within }}{{ else }}{{ printf $probe .live }}{{ end }}
      periodSeconds: 5
      failureThreshold: {{ div (add (.root.Values.settings.startTimeoutSeconds | int64) 60) 5 }}
      timeoutSeconds: 5
    livenessProbe:
      {{ if .within }}{{ $within }}{{ else }}{{ printf $probe .live }}{{ end }}
      periodSeconds: 20
      timeoutSeconds: 10
      failureThreshold: 6
    readinessProbe:
      {{ if .within }}{{ $within }}{{ else }}{{ printf $probe "/readyz" }}{{ end }}
      periodSeconds: 10
      timeoutSeconds: 5
    resources:
      {{- toYaml .values.resources | nindent 6 }}
    securityContext:
      {{- include "reelmill.containerSecurity" . | nindent 6 }}
    volumeMounts:
      - { name: tmp, mountPath: /tmp }
      {{- if .data }}
      - { name: data, mountPath: /var/lib/reelmill }
      {{- end }}
      {{- if include "reelmill.certificates" . }}
      - { name: certificates, mountPath: /etc/reelmill/certificates, readOnly: true }
      {{- end }}
volumes:
  - name: tmp
    emptyDir: { medium: Memory, sizeLimit: 64Mi }
  {{- with .data }}
  - name: data
    {{- . | nindent 4 }}
  {{- end }}
  {{- if include "reelmill.certificates" . }}
  - name: certificates
    configMap: { name: {{ .root.Values.certificatesConfigMap }} }
  {{- end }}
{{- end }}

{{- /* Scratch on the node. What the program keeps beside its working files has the GiB above it. */}}
{{- define "reelmill.scratch" -}}
emptyDir: { sizeLimit: {{ add (.Values.scratch.maxBytes | int64) 1073741824 | quote }} }
{{- end }}

{{- /* The program makes this directory itself, for its own user alone; a volume's root belongs to others. */}}
{{- define "reelmill.env.data" -}}
- { name: REELMILL_DATA, value: /var/lib/reelmill/data }
{{- end }}
