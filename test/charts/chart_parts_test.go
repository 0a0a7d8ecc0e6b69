package charts

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
)

func TestEmbeddedHasOnePodWithAVolume(t *testing.T) {
	t.Parallel()
	r := mustRender(t, extras["volume"]+"replicaCount: 5\n")
	s := only[*apps.StatefulSet](t, r)
	claim := s.Spec.VolumeClaimTemplates[0]
	if *s.Spec.Replicas != 1 || claim.Name != "data" || *claim.Spec.StorageClassName != "fast" || claim.Spec.Resources.Requests.Storage().String() != "100Gi" {
		t.Errorf("replicas %d, claim %+v", *s.Spec.Replicas, claim)
	}
	if settingsOf(t, r)["store"] != "embedded:/data" || of[*core.Service](r)[s.Spec.ServiceName] == nil {
		t.Errorf("the store is %v, the service %s", settingsOf(t, r)["store"], s.Spec.ServiceName)
	}
	if len(of[*policy.PodDisruptionBudget](r)) > 0 {
		t.Error("a budget of one pod keeps its node from being drained")
	}
}

func TestRedisHasPodsThatShareAStore(t *testing.T) {
	t.Parallel()
	r := mustRender(t, withRedis)
	d := only[*apps.Deployment](t, r)
	var url *core.SecretKeySelector
	for _, e := range d.Spec.Template.Spec.Containers[0].Env {
		if e.Name == "ORCHESTRIX_STORE" {
			url = e.ValueFrom.SecretKeyRef
		}
	}
	if *d.Spec.Replicas != 2 || d.Spec.Strategy.RollingUpdate.MaxUnavailable.String() != "0" || url == nil || url.Name != "redis" || url.Key != "url" {
		t.Errorf("%+v, store from %+v", d.Spec, url)
	}
	if got := only[*policy.PodDisruptionBudget](t, r); got.Spec.MaxUnavailable.String() != "1" {
		t.Errorf("budget: %+v", got.Spec)
	}
	if len(d.Spec.Template.Spec.TopologySpreadConstraints) != 2 || d.Spec.Template.Spec.TopologySpreadConstraints[0].LabelSelector.MatchLabels["app.kubernetes.io/instance"] != "test" {
		t.Errorf("spread: %+v", d.Spec.Template.Spec.TopologySpreadConstraints)
	}
	if settingsOf(t, r)["store"] != nil {
		t.Error("the settings name a store, and so would win over the secret's")
	}
}

// TestWorkersKnowWhereToReport: at the ingress, or at the service, or where it is said.
func TestWorkersKnowWhereToReport(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                           "http://test-orchestrix.jobs.svc:8080",
		extras["tls"]:                "https://test-orchestrix.jobs.svc:8080",
		extras["ingress"]:            "https://a.example.com",
		"ingress: {enabled: true}\n": "http://orchestrix.example.com",
		extras["ingress"] + "config: {public-url: 'https://hooks.example.com'}\n": "https://hooks.example.com",
	} {
		r := mustRender(t, text)
		if got := settingsOf(t, r)["public-url"]; got != want {
			t.Errorf("%q: workers report to %v, want %s", text, got, want)
		}
	}
}

// TestTheServerTakesTheSettings that the chart writes: all but the address and the store
// are as in the cluster.
func TestTheServerTakesTheSettings(t *testing.T) {
	t.Parallel()
	r := mustRender(t, extras["config"])
	file := filepath.Join(t.TempDir(), "orchestrix.yaml")
	text := of[*core.ConfigMap](r)["test-orchestrix"].Data["orchestrix.yaml"]
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	args := slices.Clone(only[*apps.StatefulSet](t, r).Spec.Template.Spec.Containers[0].Args)
	args[slices.Index(args, "/etc/orchestrix/orchestrix.yaml")] = file
	address := freeAddress(t)
	run(t, binary(t), append(args, "--listen", address, "--store", "memory:")...)
	until(t, "the server is ready", func() bool { return answers(t, "http://"+address+"/readyz") })
}

// TestSecretsStayInSecrets: nothing that is given as a secret is anywhere else.
func TestSecretsStayInSecrets(t *testing.T) {
	t.Parallel()
	const canary = "canary0123456789"
	r := mustRender(t, "engine: redis\nredis: {url: 'redis://:"+canary+"@redis:6379'}\nrootKey: {value: root-"+canary+"}\n")
	for _, o := range r.objects {
		if _, ok := o.(*core.Secret); ok {
			continue
		}
		data, err := json.Marshal(o)
		if err != nil || strings.Contains(string(data), canary) {
			t.Errorf("%T %s shows a secret (%v)", o, o.GetObjectMeta().GetName(), err)
		}
	}
	if s := only[*core.Secret](t, r); string(s.Data["root-key"]) != "root-"+canary || strings.Contains(r.notes, canary) {
		t.Errorf("secret %q, notes %s", s.Data, r.notes)
	}
	if r := mustRender(t, withRedis+extras["secrets"]); len(of[*core.Secret](r)) != 0 {
		t.Error("all secrets are there already, and one is made")
	}
}

func TestScaling(t *testing.T) {
	t.Parallel()
	all := matrix()
	r := mustRender(t, all["redis/hpa"])
	h := only[*autoscaling.HorizontalPodAutoscaler](t, r)
	d := only[*apps.Deployment](t, r)
	if d.Spec.Replicas != nil || h.Spec.ScaleTargetRef.Name != d.Name || h.Spec.MaxReplicas != 6 || *h.Spec.MinReplicas != 2 {
		t.Errorf("replicas %v, scaled by %+v", d.Spec.Replicas, h.Spec)
	}
	r = mustRender(t, all["redis/keda"])
	k := only[*scaledObject](t, r)
	if only[*apps.Deployment](t, r).Spec.Replicas != nil || k.Spec.ScaleTargetRef.Name != d.Name || k.Spec.Triggers[0].Metadata["threshold"] != "30" {
		t.Errorf("scaled by %+v", k.Spec)
	}
	if _, err := promql.ParseExpr(k.Spec.Triggers[0].Metadata["query"]); err != nil || !strings.Contains(k.Spec.Triggers[0].Metadata["query"], "orchestrix_queue_oldest_pending_seconds") {
		t.Errorf("KEDA asks %s: %v", k.Spec.Triggers[0].Metadata["query"], err)
	}
}

func TestNetwork(t *testing.T) {
	t.Parallel()
	n := only[*networking.NetworkPolicy](t, mustRender(t, extras["network"]))
	if len(n.Spec.PolicyTypes) != 2 || len(n.Spec.Ingress[0].From) != 1 || len(n.Spec.Egress) != 2 || n.Spec.Egress[0].Ports[0].Port.IntValue() != 53 {
		t.Errorf("%+v", n.Spec)
	}
	n = only[*networking.NetworkPolicy](t, mustRender(t, extras["open"]))
	if len(n.Spec.PolicyTypes) != 1 || len(n.Spec.Ingress[0].From) != 0 || n.Spec.Ingress[0].Ports[0].Port.String() != "http" || len(n.Spec.Egress) != 0 {
		t.Errorf("%+v", n.Spec)
	}
	i := only[*networking.Ingress](t, mustRender(t, extras["ingress"]))
	if *i.Spec.IngressClassName != "nginx" || i.Spec.Rules[0].Host != "a.example.com" || i.Spec.Rules[0].HTTP.Paths[0].Backend.Service.Name != "test-orchestrix" || len(i.Spec.TLS) != 1 {
		t.Errorf("%+v", i.Spec)
	}
}

// TestWatching: the dashboards and the rules of the chart are those beside it, and the
// headless service is not scraped a second time.
func TestWatching(t *testing.T) {
	t.Parallel()
	r := mustRender(t, extras["watch"]+extras["tls"])
	m := only[*monitoring.ServiceMonitor](t, r)
	if e := m.Spec.Endpoints[0]; m.Labels["release"] != "prometheus" || e.Path != "/metrics" || e.Port != "http" || e.Scheme.String() != "https" {
		t.Errorf("%+v", m.Spec)
	}
	scraped := 0
	for _, s := range of[*core.Service](r) {
		if _, headless := s.Labels["app.kubernetes.io/component"]; !headless {
			scraped++
		}
	}
	if scraped != 1 || len(m.Spec.Selector.MatchExpressions) != 1 {
		t.Errorf("%d services are scraped", scraped)
	}
	got := 0
	for _, g := range only[*monitoring.PrometheusRule](t, r).Spec.Groups {
		got += len(g.Rules)
	}
	if want := len(rules(t)); got != want || want == 0 {
		t.Errorf("%d rules, want %d", got, want)
	}
	boards := map[string]string{}
	for _, c := range of[*core.ConfigMap](r) {
		for file, text := range c.Data {
			if strings.HasSuffix(file, ".json") && c.Labels["grafana_dashboard"] == "1" {
				boards[strings.TrimPrefix(file, "orchestrix-")] = text
			}
		}
	}
	files := glob(t, "charts", "dashboards", "*.json")
	for _, name := range files {
		if text := boards[name[strings.LastIndex(name, "/")+1:]]; strings.TrimSpace(text) != strings.TrimSpace(string(read(t, name))) {
			t.Errorf("%s is not as it is beside the chart", name)
		}
	}
	if len(boards) != len(files) {
		t.Errorf("%d dashboards, want %d", len(boards), len(files))
	}
}

// TestTheSchemaHasNoMoreThanTheValues: what may be given is in values.yaml, where people
// look for it. That it has no less is what the schema is held against at each rendering.
func TestTheSchemaHasNoMoreThanTheValues(t *testing.T) {
	t.Parallel()
	var schema struct{ Properties map[string]any }
	if err := json.Unmarshal(read(t, filepath.Join(chartDir, "values.schema.json")), &schema); err != nil {
		t.Fatal(err)
	}
	delete(schema.Properties, "global") // which Helm adds
	missing(t, "", schema.Properties, values(t, string(read(t, filepath.Join(chartDir, "values.yaml")))))
}

func missing(t *testing.T, path string, properties map[string]any, values map[string]any) {
	t.Helper()
	for name, property := range properties {
		value, ok := values[name]
		if !ok {
			t.Errorf("values.yaml lacks %s%s", path, name)
		}
		inner, _ := property.(map[string]any)["properties"].(map[string]any)
		if below, ok := value.(map[string]any); ok {
			missing(t, path+name+".", inner, below)
		}
	}
}

// TestWhatCannotBe is refused, in words that say why.
func TestWhatCannotBe(t *testing.T) {
	t.Parallel()
	for text, why := range map[string]string{
		"engine: redis\n":  "redis.existingSecret",
		"engine: sqlite\n": "engine",
		withRedis + "autoscaling: {enabled: true}\nkeda: {enabled: true}\n": "enable one of them",
		"autoscaling: {enabled: true}\n":                                    "has one pod",
		"replicas: 3\n":                                                     "replicas",
		"config: {listen: '0.0.0.0:80'}\n":                                  "listen",
		"config: {store: 'memory:'}\n":                                      "store",
		"rootKey: {value: short}\n":                                         "value",
		"engine: redis\nredis: {url: 'postgres://x'}\n":                     "url",
		"drainGraceSeconds: 0\n":                                            "drainGraceSeconds",
		"image: {digest: latest}\n":                                         "digest",
		"ingress: {enabled: true, hosts: [{host: a}]}\n":                    "paths",
		"service: {type: ExternalName}\n":                                   "type",
	} {
		if _, err := render(t, text); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %v, want one that names %q", text, err, why)
		}
	}
}
