{{- /* An engine of one process with a disk: (root, part, values, user, args, env, port, mounts, probe, writesRoot,
     extra). `mounts` are folders of the disk by path; `extra` are paths in memory. Which users the images want,
     and that the other images write to their root, is what their publishers say. */}}
{{- define "reelmill.engine" -}}
{{- $part := merge (dict "component" "engine") . }}
{{- $name := printf "%s-%s" (include "reelmill.fullname" .root) .part }}
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: {{ $name }}
  labels:
    {{- include "reelmill.labels" $part | nindent 4 }}
spec:
  replicas: 1
  serviceName: {{ $name }}
  selector:
    matchLabels:
      {{- include "reelmill.selector" $part | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "reelmill.selector" $part | nindent 8 }}
    spec:
      serviceAccountName: {{ include "reelmill.serviceAccount" .root }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      securityContext:
        runAsNonRoot: true
        runAsUser: {{ .user }}
        runAsGroup: {{ .user }}
        fsGroup: {{ .user }}
        fsGroupChangePolicy: OnRootMismatch
        seccompProfile: { type: RuntimeDefault }
      terminationGracePeriodSeconds: 60
      containers:
        - name: {{ .part }}
          image: {{ .values.image | quote }}
          {{- with .args }}
          args: {{ toJson . }}
          {{- end }}
          env:
            {{- .env | trim | nindent 12 }}
          ports:
            - { name: {{ .part }}, containerPort: {{ .port }} }
          startupProbe:
            {{- .probe | trim | nindent 12 }}
            periodSeconds: 5
            failureThreshold: 60
            timeoutSeconds: 5
          readinessProbe:
            {{- .probe | trim | nindent 12 }}
            periodSeconds: 10
            timeoutSeconds: 5
          resources:
            {{- toYaml .values.resources | nindent 12 }}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: {{ not .writesRoot }}
            capabilities: { drop: [ALL] }
          volumeMounts:
            - { name: tmp, mountPath: /tmp }
            {{- range .extra }}
            - { name: tmp, mountPath: {{ . }}, subPath: {{ base . }} }
            {{- end }}
            {{- range $path, $folder := .mounts }}
            - { name: data, mountPath: {{ $path }}, subPath: {{ $folder }} }
            {{- end }}
      volumes:
        - name: tmp
          emptyDir: { sizeLimit: 1Gi }
  volumeClaimTemplates:
    - apiVersion: v1
      kind: PersistentVolumeClaim
      metadata:
        name: data
      spec:
        accessModes: [ReadWriteOnce]
        {{- with .values.storageClass }}
        storageClassName: {{ . }}
        {{- end }}
        resources:
          requests: { storage: {{ .values.size }} }
---
apiVersion: v1
kind: Service
metadata:
  name: {{ $name }}
  labels:
    {{- include "reelmill.labels" $part | nindent 4 }}
spec:
  selector:
    {{- include "reelmill.selector" $part | nindent 4 }}
  ports:
    - { name: {{ .part }}, port: {{ .port }}, targetPort: {{ .part }} }
{{- end }}
