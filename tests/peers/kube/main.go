// kube-check lints a Helm chart, renders it with values and holds every document that comes of it against the Kubernetes
// API's own types: unknown and misspelt fields are errors.
//
//	kube-check CHART [VALUES.yaml]
//
// Prints the rendered documents; findings go to standard error, and the exit status is 1 when there are any.
package main

import (
	"fmt"
	"os"
	"sort"
	"strings"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

// What the chart may make, by apiVersion and kind.
var kinds = map[string]func() any{
	"v1/ConfigMap":                           func() any { return new(corev1.ConfigMap) },
	"v1/Service":                             func() any { return new(corev1.Service) },
	"v1/ServiceAccount":                      func() any { return new(corev1.ServiceAccount) },
	"apps/v1/Deployment":                     func() any { return new(appsv1.Deployment) },
	"apps/v1/StatefulSet":                    func() any { return new(appsv1.StatefulSet) },
	"policy/v1/PodDisruptionBudget":          func() any { return new(policyv1.PodDisruptionBudget) },
	"autoscaling/v2/HorizontalPodAutoscaler": func() any { return new(autoscalingv2.HorizontalPodAutoscaler) },
	"networking.k8s.io/v1/NetworkPolicy":     func() any { return new(networkingv1.NetworkPolicy) },
	"cert-manager.io/v1/Certificate":         func() any { return new(certificate) },
	"cert-manager.io/v1/Issuer":              func() any { return new(issuer) },
	"monitoring.coreos.com/v1/PodMonitor":    func() any { return new(podMonitor) },
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: kube-check CHART [VALUES.yaml]")
		os.Exit(2)
	}
	values := map[string]any{}
	if len(os.Args) > 2 {
		read, err := chartutil.ReadValuesFile(os.Args[2])
		fail(err)
		values = read
	}
	findings := lintChart(os.Args[1], values)
	documents, err := render(os.Args[1], values)
	fail(err)
	for _, document := range documents {
		fmt.Printf("---\n%s\n", document)
		if err := check(document); err != nil {
			findings = append(findings, err.Error())
		}
	}
	for _, finding := range findings {
		fmt.Fprintln(os.Stderr, finding)
	}
	if len(findings) > 0 {
		os.Exit(1)
	}
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func lintChart(path string, values map[string]any) []string {
	var findings []string
	for _, message := range lint.All(path, values, "events", true).Messages {
		if message.Severity > support.InfoSev {
			findings = append(findings, message.Error())
		}
	}
	return findings
}

func render(path string, values map[string]any) ([]string, error) {
	chart, err := loader.Load(path)
	if err != nil {
		return nil, err
	}
	release := chartutil.ReleaseOptions{Name: "try", Namespace: "events", Revision: 1, IsInstall: true}
	all, err := chartutil.ToRenderValues(chart, values, release, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	files, err := engine.Engine{Strict: true}.Render(chart, all)
	if err != nil {
		return nil, err
	}
	var names []string
	for name := range files {
		if strings.HasSuffix(name, ".yaml") {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	var documents []string
	for _, name := range names {
		for _, document := range strings.Split("\n"+files[name], "\n---") {
			if strings.TrimSpace(document) != "" {
				documents = append(documents, strings.TrimSpace(document))
			}
		}
	}
	return documents, nil
}

func check(document string) error {
	var head struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Metadata   struct {
			Name string `json:"name"`
		} `json:"metadata"`
	}
	if err := yaml.Unmarshal([]byte(document), &head); err != nil {
		return fmt.Errorf("no YAML: %w\n%s", err, document)
	}
	made, known := kinds[head.APIVersion+"/"+head.Kind]
	if !known {
		return fmt.Errorf("%s %s: kind not expected of this chart", head.APIVersion, head.Kind)
	}
	if len(head.Metadata.Name) == 0 || len(head.Metadata.Name) > 63 {
		return fmt.Errorf("%s: bad name %q", head.Kind, head.Metadata.Name)
	}
	if err := yaml.UnmarshalStrict([]byte(document), made()); err != nil {
		return fmt.Errorf("%s %s: %w", head.Kind, head.Metadata.Name, err)
	}
	return nil
}
