{{/* The chart's name, and the full name of its objects. */}}
{{- define "orchestrix.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "orchestrix.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains (include "orchestrix.name" .) .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "orchestrix.name" .) | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "orchestrix.selectorLabels" -}}
app.kubernetes.io/name: {{ include "orchestrix.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "orchestrix.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "orchestrix.selectorLabels" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "orchestrix.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- .Values.serviceAccount.name | default (include "orchestrix.fullname" .) }}
{{- else }}
{{- .Values.serviceAccount.name | default "default" }}
{{- end }}
{{- end }}

{{- define "orchestrix.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}

{{/* Where it is reached: from everywhere by its ingress, else inside the cluster. */}}
{{- define "orchestrix.url" -}}
{{- if and .Values.ingress.enabled .Values.ingress.hosts -}}
{{ empty .Values.ingress.tls | ternary "http" "https" }}://{{ (first .Values.ingress.hosts).host }}
{{- else -}}
{{ empty .Values.tls.existingSecret | ternary "http" "https" }}://{{ include "orchestrix.fullname" . }}.{{ .Release.Namespace }}.svc:{{ .Values.service.port }}
{{- end }}
{{- end }}

{{/* Whether something else than replicaCount says how many pods there are. */}}
{{- define "orchestrix.scaled" -}}
{{- if and (eq .Values.engine "redis") (or .Values.autoscaling.enabled .Values.keda.enabled) }}true{{ end }}
{{- end }}

{{/* What cannot be, in words. */}}
{{- define "orchestrix.check" -}}
{{- if and (eq .Values.engine "redis") (not .Values.redis.url) (not .Values.redis.existingSecret) }}
{{- fail "engine redis needs redis.existingSecret, a secret with the URL of Redis, or redis.url" }}
{{- end }}
{{- if and .Values.autoscaling.enabled .Values.keda.enabled }}
{{- fail "autoscaling and keda both scale the pods: enable one of them" }}
{{- end }}
{{- if and (eq .Values.engine "embedded") (or .Values.autoscaling.enabled .Values.keda.enabled) }}
{{- fail "engine embedded has one pod: autoscaling and keda are for engine redis" }}
{{- end }}
{{- end }}

{{/* The pod, the same for both engines. */}}
{{- define "orchestrix.pod" -}}
{{- include "orchestrix.check" . -}}
metadata:
  labels:
    {{- include "orchestrix.labels" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    checksum/config: {{ include (print $.Template.BasePath "/configmap.yaml") . | sha256sum }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "orchestrix.serviceAccountName" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ add .Values.preStopSleepSeconds .Values.drainGraceSeconds 15 }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- toYaml .Values.podSecurityContext | nindent 4 }}
  containers:
    - name: orchestrix
      image: {{ include "orchestrix.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [serve, --config, /etc/orchestrix/orchestrix.yaml]
      ports:
        - name: http
          containerPort: 8080
          protocol: TCP
      env:
        - name: ORCHESTRIX_ROOT_KEY
          valueFrom:
            secretKeyRef:
              name: {{ .Values.rootKey.existingSecret | default (include "orchestrix.fullname" .) }}
              key: {{ empty .Values.rootKey.existingSecret | not | ternary .Values.rootKey.secretKey "root-key" }}
        {{- if eq .Values.engine "redis" }}
        - name: ORCHESTRIX_STORE
          valueFrom:
            secretKeyRef:
              name: {{ .Values.redis.existingSecret | default (include "orchestrix.fullname" .) }}
              key: {{ empty .Values.redis.existingSecret | not | ternary .Values.redis.secretKey "redis-url" }}
        {{- end }}
        {{- with .Values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- $scheme := empty .Values.tls.existingSecret | not | ternary "HTTPS" "HTTP" }}
      startupProbe:
        httpGet: {path: /healthz, port: http, scheme: {{ $scheme }}}
        periodSeconds: 5
        timeoutSeconds: 3
        failureThreshold: {{ .Values.startupProbe.failureThreshold }}
      livenessProbe:
        httpGet: {path: /healthz, port: http, scheme: {{ $scheme }}}
        periodSeconds: 10
        timeoutSeconds: 3
        failureThreshold: 6
      readinessProbe:
        httpGet: {path: /readyz, port: http, scheme: {{ $scheme }}}
        periodSeconds: 2
        timeoutSeconds: 2
        failureThreshold: 2
      lifecycle:
        preStop:
          sleep:
            seconds: {{ .Values.preStopSleepSeconds }}
      securityContext:
        {{- toYaml .Values.securityContext | nindent 8 }}
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      volumeMounts:
        - name: config
          mountPath: /etc/orchestrix
          readOnly: true
        {{- if eq .Values.engine "embedded" }}
        - name: data
          mountPath: /data
        {{- end }}
        {{- if .Values.secretKeys.existingSecret }}
        - name: secret-keys
          mountPath: /run/orchestrix/keys
          readOnly: true
        {{- end }}
        {{- if .Values.tls.existingSecret }}
        - name: tls
          mountPath: /run/orchestrix/tls
          readOnly: true
        {{- end }}
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: config
      configMap:
        name: {{ include "orchestrix.fullname" . }}
    {{- if and (eq .Values.engine "embedded") (not .Values.persistence.enabled) }}
    - name: data
      emptyDir: {}
    {{- end }}
    {{- if .Values.secretKeys.existingSecret }}
    - name: secret-keys
      secret:
        secretName: {{ .Values.secretKeys.existingSecret }}
        defaultMode: 0440
        items:
          - key: {{ .Values.secretKeys.secretKey }}
            path: secret.keys
    {{- end }}
    {{- if .Values.tls.existingSecret }}
    - name: tls
      secret:
        secretName: {{ .Values.tls.existingSecret }}
        defaultMode: 0440
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- range . }}
    - {{- toYaml . | nindent 6 }}
      labelSelector:
        matchLabels:
          {{- include "orchestrix.selectorLabels" $ | nindent 10 }}
    {{- end }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
