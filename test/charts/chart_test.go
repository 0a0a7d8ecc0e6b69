package charts

import (
	"bytes"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	helmcommon "helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	helmlint "helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

var chartDir = filepath.Join("..", "..", "charts", "orchestrix")

// scaledObject is KEDA's, as far as the chart fills it. KEDA's own module brings hundreds
// of others.
type scaledObject struct {
	meta.TypeMeta   `json:",inline"`
	meta.ObjectMeta `json:"metadata,omitzero"`
	Spec            struct {
		ScaleTargetRef struct {
			Name string `json:"name"`
		} `json:"scaleTargetRef"`
		MinReplicaCount int32 `json:"minReplicaCount"`
		MaxReplicaCount int32 `json:"maxReplicaCount"`
		PollingInterval int32 `json:"pollingInterval"`
		CooldownPeriod  int32 `json:"cooldownPeriod"`
		Triggers        []struct {
			Type       string            `json:"type"`
			MetricType string            `json:"metricType"`
			Metadata   map[string]string `json:"metadata"`
		} `json:"triggers"`
	} `json:"spec"`
}

// GetObjectMeta is there so that all objects can be treated alike.
func (s *scaledObject) GetObjectMeta() meta.Object { return &s.ObjectMeta }

// kinds are all that the chart may render.
var kinds = map[string]func() meta.ObjectMetaAccessor{
	"v1/ConfigMap":                            func() meta.ObjectMetaAccessor { return new(core.ConfigMap) },
	"v1/Secret":                               func() meta.ObjectMetaAccessor { return new(core.Secret) },
	"v1/Service":                              func() meta.ObjectMetaAccessor { return new(core.Service) },
	"v1/ServiceAccount":                       func() meta.ObjectMetaAccessor { return new(core.ServiceAccount) },
	"apps/v1/Deployment":                      func() meta.ObjectMetaAccessor { return new(apps.Deployment) },
	"apps/v1/StatefulSet":                     func() meta.ObjectMetaAccessor { return new(apps.StatefulSet) },
	"networking.k8s.io/v1/Ingress":            func() meta.ObjectMetaAccessor { return new(networking.Ingress) },
	"networking.k8s.io/v1/NetworkPolicy":      func() meta.ObjectMetaAccessor { return new(networking.NetworkPolicy) },
	"autoscaling/v2/HorizontalPodAutoscaler":  func() meta.ObjectMetaAccessor { return new(autoscaling.HorizontalPodAutoscaler) },
	"policy/v1/PodDisruptionBudget":           func() meta.ObjectMetaAccessor { return new(policy.PodDisruptionBudget) },
	"monitoring.coreos.com/v1/ServiceMonitor": func() meta.ObjectMetaAccessor { return new(monitoring.ServiceMonitor) },
	"monitoring.coreos.com/v1/PrometheusRule": func() meta.ObjectMetaAccessor { return new(monitoring.PrometheusRule) },
	"keda.sh/v1alpha1/ScaledObject":           func() meta.ObjectMetaAccessor { return new(scaledObject) },
}

// release is a rendered chart.
type release struct {
	objects []meta.ObjectMetaAccessor
	notes   string
}

// of returns the objects of a type, by name.
func of[T meta.ObjectMetaAccessor](r release) map[string]T {
	found := map[string]T{}
	for _, o := range r.objects {
		if typed, ok := o.(T); ok {
			found[o.GetObjectMeta().GetName()] = typed
		}
	}
	return found
}

// only returns the one object of a type.
func only[T meta.ObjectMetaAccessor](t *testing.T, r release) T {
	t.Helper()
	found := of[T](r)
	if len(found) != 1 {
		t.Fatalf("there are %d %T, want one", len(found), *new(T))
	}
	for _, o := range found {
		return o
	}
	panic("unreachable")
}

func values(t *testing.T, text string) map[string]any {
	t.Helper()
	v := map[string]any{}
	if err := yaml.UnmarshalStrict([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// render does what helm template does, the check of the values by their schema included.
func render(t *testing.T, text string) (release, error) {
	t.Helper()
	chart, err := loader.Load(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	options := helmcommon.ReleaseOptions{Name: "test", Namespace: "jobs", Revision: 1, IsInstall: true}
	v, err := util.ToRenderValues(chart, values(t, text), options, nil)
	if err != nil {
		return release{}, err
	}
	files, err := engine.Engine{Strict: true}.RenderWithContext(t.Context(), chart, v)
	if err != nil {
		return release{}, err
	}
	var r release
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if strings.HasSuffix(name, "NOTES.txt") {
			r.notes = files[name]
			continue
		}
		for _, document := range strings.Split("\n"+files[name], "\n---\n") {
			if strings.TrimSpace(document) != "" {
				r.objects = append(r.objects, decode(t, name, document))
			}
		}
	}
	return r, nil
}

// decode reads an object as strictly as Kubernetes does where it is asked to: a field that
// its type does not have, if only by a capital, is an error, and so is one that is there
// twice.
func decode(t *testing.T, name, document string) meta.ObjectMetaAccessor {
	t.Helper()
	var kind meta.TypeMeta
	if err := yaml.Unmarshal([]byte(document), &kind); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, document)
	}
	build := kinds[kind.APIVersion+"/"+kind.Kind]
	if build == nil {
		t.Fatalf("%s: %s %s is not known\n%s", name, kind.APIVersion, kind.Kind, document)
	}
	data, err := yaml.YAMLToJSONStrict([]byte(document))
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, document)
	}
	object := build()
	strict, err := json.UnmarshalStrict(data, object)
	if err != nil || len(strict) > 0 {
		t.Fatalf("%s: %v %v\n%s", name, err, strict, document)
	}
	return object
}

func mustRender(t *testing.T, text string) release {
	t.Helper()
	r, err := render(t, text)
	if err != nil {
		t.Fatalf("%v, of\n%s", err, text)
	}
	return r
}

const withRedis = "engine: redis\nredis: {existingSecret: redis}\n"

// extras are parts that go with either engine; a matrix of values has each of them, and
// all of them, with both.
var extras = map[string]string{
	"none":     "",
	"image":    "image: {digest: 'sha256:" + strings.Repeat("a", 64) + "'}\nimagePullSecrets: [{name: pull}]\nfullnameOverride: jobs\n",
	"config":   "config: {allow-cidr: [10.0.0.0/8], retention: 30d, max-in-flight: 4096, window-bytes: 268435456, log-level: debug}\ndrainGraceSeconds: 90\n",
	"secrets":  "rootKey: {existingSecret: root, secretKey: key}\nsecretKeys: {existingSecret: keys}\n",
	"tls":      "tls: {existingSecret: cert}\n",
	"volume":   "persistence: {storageClassName: fast, size: 100Gi, annotations: {a: b}}\n",
	"ingress":  "ingress: {enabled: true, className: nginx, annotations: {a: b}, hosts: [{host: a.example.com, paths: [{path: /, pathType: Prefix}]}], tls: [{secretName: t, hosts: [a.example.com]}]}\n",
	"network":  "networkPolicy: {enabled: true, ingressFrom: [{podSelector: {matchLabels: {a: b}}}], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [169.254.0.0/16]}}]}]}\n",
	"open":     "networkPolicy: {enabled: true}\nserviceAccount: {create: false}\n",
	"watch":    "serviceMonitor: {enabled: true, labels: {release: prometheus}}\nprometheusRule: {enabled: true, labels: {release: prometheus}}\ndashboards: {enabled: true, annotations: {grafana_folder: Orchestrix}}\n",
	"schedule": "nodeSelector: {a: b}\ntolerations: [{key: a, operator: Exists}]\naffinity: {podAntiAffinity: {}}\npriorityClassName: high\ntopologySpreadConstraints: []\n",
	"more":     "extraEnv: [{name: GOMEMLIMIT, value: 900MiB}]\nextraVolumes: [{name: ca, secret: {secretName: ca}}]\nextraVolumeMounts: [{name: ca, mountPath: /ca}]\npodLabels: {a: b}\npodAnnotations: {a: b}\nservice: {type: LoadBalancer, port: 80, annotations: {a: b}}\n",
}

// matrix is both engines with each of the extras, with all of them that go together, and
// what scales the redis engine.
func matrix() map[string]string {
	all := map[string]string{}
	for engine, base := range map[string]string{"embedded": "", "redis": withRedis} {
		for name, extra := range extras {
			all[engine+"/"+name] = base + extra
		}
		together := base
		for _, name := range slices.Sorted(maps.Keys(extras)) {
			if name != "open" { // which network says otherwise
				together += extras[name]
			}
		}
		all[engine+"/together"] = together
	}
	all["embedded/without a volume"] = "persistence: {enabled: false}\n"
	all["redis/by its url"] = "engine: redis\nredis: {url: 'rediss-sentinel://:secret@s1:26379,s2:26379/main'}\nrootKey: {value: 0123456789abcdef}\n"
	all["redis/hpa"] = withRedis + "autoscaling: {enabled: true}\n"
	all["redis/keda"] = withRedis + "keda: {enabled: true}\npodDisruptionBudget: {maxUnavailable: 25%}\n"
	return all
}

// TestMatrix renders all, and looks at what has to be so whatever the values.
func TestMatrix(t *testing.T) {
	t.Parallel()
	for name, text := range matrix() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := mustRender(t, text)
			checkObjects(t, r)
			redis := strings.HasPrefix(name, "redis/")
			var pod core.PodTemplateSpec
			if redis {
				pod = only[*apps.Deployment](t, r).Spec.Template
			} else {
				pod = only[*apps.StatefulSet](t, r).Spec.Template
			}
			checkPod(t, r, pod)
			if !strings.Contains(r.notes, "ORCHESTRIX_KEY") {
				t.Errorf("the notes do not say how to get the key:\n%s", r.notes)
			}
		})
	}
}

// checkObjects looks at names and labels, and that selectors select the pods.
func checkObjects(t *testing.T, r release) {
	t.Helper()
	seen := map[string]bool{}
	for _, o := range r.objects {
		m := o.GetObjectMeta()
		id := fmt.Sprintf("%T %s", o, m.GetName())
		if seen[id] {
			t.Errorf("%s is there twice", id)
		}
		seen[id] = true
		if problems := validation.IsDNS1123Subdomain(m.GetName()); len(problems) > 0 {
			t.Errorf("%s: %v", id, problems)
		}
		if m.GetNamespace() != "" && m.GetNamespace() != "jobs" {
			t.Errorf("%s is in %s", id, m.GetNamespace())
		}
		for label, value := range m.GetLabels() {
			if problems := append(validation.IsQualifiedName(label), validation.IsValidLabelValue(value)...); len(problems) > 0 {
				t.Errorf("%s: label %s=%s: %v", id, label, value, problems)
			}
		}
		if m.GetLabels()["app.kubernetes.io/instance"] != "test" {
			t.Errorf("%s is not labelled with the release", id)
		}
	}
	for name, service := range of[*core.Service](r) {
		if service.Spec.Selector["app.kubernetes.io/instance"] != "test" || service.Spec.Ports[0].TargetPort.String() != "http" {
			t.Errorf("service %s: %+v", name, service.Spec)
		}
	}
}

// checkPod looks at what a pod has to be: without rights, with probes, with time to drain.
func checkPod(t *testing.T, r release, pod core.PodTemplateSpec) {
	t.Helper()
	c := pod.Spec.Containers[0]
	s, p := c.SecurityContext, pod.Spec.SecurityContext
	if !*p.RunAsNonRoot || *p.RunAsUser == 0 || p.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault ||
		*s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || !slices.Equal(s.Capabilities.Drop, []core.Capability{"ALL"}) || *pod.Spec.AutomountServiceAccountToken {
		t.Errorf("the pod has rights that it does not need: %+v %+v", p, s)
	}
	if c.LivenessProbe.HTTPGet.Path != "/healthz" || c.StartupProbe.HTTPGet.Path != "/healthz" || c.ReadinessProbe.HTTPGet.Path != "/readyz" {
		t.Errorf("probes: %+v", c)
	}
	settings := settingsOf(t, r)
	scheme := core.URISchemeHTTP
	if settings["tls-cert"] != nil {
		scheme = core.URISchemeHTTPS
	}
	if c.ReadinessProbe.HTTPGet.Scheme != scheme || c.LivenessProbe.HTTPGet.Scheme != scheme {
		t.Errorf("the probes do not speak %s", scheme)
	}
	var grace int64
	if _, err := fmt.Sscanf(settings["drain-grace"].(string), "%ds", &grace); err != nil {
		t.Fatal(err)
	}
	if total := *pod.Spec.TerminationGracePeriodSeconds; total < grace+c.Lifecycle.PreStop.Sleep.Seconds+10 {
		t.Errorf("the pod is killed after %d s, its drain takes up to %d s after a sleep of %d s", total, grace, c.Lifecycle.PreStop.Sleep.Seconds)
	}
	if c.Resources.Requests.Cpu().IsZero() || c.Resources.Limits.Memory().IsZero() || !c.Resources.Limits.Cpu().IsZero() {
		t.Errorf("resources: %+v", c.Resources)
	}
	volumes := map[string]bool{"data": len(of[*apps.StatefulSet](r)) > 0}
	for _, v := range pod.Spec.Volumes {
		volumes[v.Name] = true
	}
	for _, m := range c.VolumeMounts {
		if !volumes[m.Name] {
			t.Errorf("there is no volume %s", m.Name)
		}
	}
	for _, e := range c.Env {
		if e.ValueFrom == nil || e.ValueFrom.SecretKeyRef == nil {
			continue
		}
		ref := e.ValueFrom.SecretKeyRef
		if own := of[*core.Secret](r)[ref.Name]; own != nil && len(own.Data[ref.Key]) == 0 {
			t.Errorf("%s is to be in the chart's secret as %s, and is not", e.Name, ref.Key)
		} else if own == nil && slices.Contains([]string{"test-orchestrix", "jobs"}, ref.Name) {
			t.Errorf("%s is to be in the chart's secret, and there is none", e.Name)
		}
	}
}

// settingsOf returns the server's settings, all of which it has to know.
func settingsOf(t *testing.T, r release) map[string]any {
	t.Helper()
	var text string
	for _, m := range of[*core.ConfigMap](r) {
		text += m.Data["orchestrix.yaml"]
	}
	settings := values(t, text)
	page := read(t, filepath.Join("..", "..", "docs", "configuration.md"))
	for name := range settings {
		if !bytes.Contains(page, []byte("\n| `"+name+"` |")) {
			t.Errorf("the server has no setting %s", name)
		}
	}
	return settings
}

// TestLint is helm lint --strict: no error, and no warning.
func TestLint(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", withRedis} {
		for _, m := range helmlint.RunAll(chartDir, values(t, text), "jobs").Messages {
			if m.Severity >= support.WarningSev {
				t.Errorf("%v", m)
			}
		}
	}
}
