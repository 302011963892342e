{{/* The release's name, and the chart's if that is not in it. */}}
{{- define "payments.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Of one component: (list root component) */}}
{{- define "payments.selector" -}}
app.kubernetes.io/name: payment-service
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "payments.labels" -}}
{{- $root := index . 0 -}}
{{ include "payments.selector" . }}
app.kubernetes.io/version: {{ $root.Values.image.tag | default $root.Chart.AppVersion | trunc 63 | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* (list root program) */}}
{{- define "payments.image" -}}
{{- $root := index . 0 -}}
{{- with $root.Values.image.registry }}{{ . }}/{{ end -}}
{{ index . 1 }}:{{ $root.Values.image.tag | default $root.Chart.AppVersion }}
{{- end -}}

{{/* The fields of a pod that all pods have. The user is that of the images. */}}
{{- define "payments.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile:
    type: RuntimeDefault
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Pods of a release of a Deployment go to different nodes, if there are some. (list root component) */}}
{{- define "payments.spread" -}}
topologySpreadConstraints:
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - topologyKey: {{ . }}
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    matchLabelKeys: [pod-template-hash]
    labelSelector:
      matchLabels:
        {{- include "payments.selector" $ | nindent 8 }}
  {{- end }}
{{- end -}}

{{- define "payments.container" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end -}}

{{/* Settings as data of a ConfigMap, without the empty ones. Numbers of YAML are floats here: 1048576 must not become 1e+06. */}}
{{- define "payments.settings" -}}
{{- range $name, $value := . }}
{{- if ne (toString $value) "" }}
{{ $name }}: {{ kindIs "float64" $value | ternary (int64 $value | toString) (toString $value) | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The Secret that the operator of the service fills. */}}
{{- define "payments.secret" -}}
{{- .Values.existingSecret | default (include "payments.name" .) -}}
{{- end -}}

{{/* One variable from the Secret: (list root NAME) */}}
{{- define "payments.secretEnv" -}}
- name: {{ index . 1 }}
  valueFrom:
    secretKeyRef:
      name: {{ include "payments.secret" (index . 0) }}
      key: {{ index . 1 }}
{{- end -}}

{{/* Where Postgres and Redis are: from the Secret, or from that of the trial. (list root NAME ...) */}}
{{- define "payments.urls" -}}
{{- $root := index . 0 }}
{{- range rest . }}
{{- $trial := eq . "DATABASE_URL" | ternary $root.Values.trial.postgres.enabled $root.Values.trial.redis.enabled }}
- name: {{ . }}
  valueFrom:
    secretKeyRef:
      name: {{ $trial | ternary (printf "%s-trial" (include "payments.name" $root)) (include "payments.secret" $root) }}
      key: {{ . }}
{{- end }}
{{- end -}}

{{/* The Deployments of workers, as JSON: name to {lanes, replicas, maxReplicas}. */}}
{{- define "payments.groups" -}}
{{- $all := dict "lanes" list "replicas" .Values.worker.replicas "maxReplicas" .Values.worker.maxReplicas -}}
{{- .Values.worker.groups | default (dict "all" $all) | toJson -}}
{{- end -}}

{{/* Milliseconds as whole seconds, rounded up. */}}
{{- define "payments.seconds" -}}
{{- div (add (int64 .) 999) 1000 -}}
{{- end -}}

{{/* Annotations of what must be there before anything else of a release: (list weight policy) */}}
{{- define "payments.hook" -}}
helm.sh/hook: pre-install,pre-upgrade
helm.sh/hook-weight: {{ index . 0 | quote }}
helm.sh/hook-delete-policy: {{ index . 1 }}
{{- end -}}

{{/* A rule of egress: {port, to} */}}
{{- define "payments.egress" -}}
- ports:
    - port: {{ .port }}
      protocol: TCP
  {{- with .to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{- define "payments.egressDns" -}}
- ports:
    - port: 53
      protocol: UDP
    - port: 53
      protocol: TCP
{{- end -}}
