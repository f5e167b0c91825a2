// psacheck reads rendered YAML on standard input and says, for every pod in it, what the API server's own evaluator of Pod
// Security says of it at the level and version of the first two arguments ("restricted" and "latest" by default). One JSON
// object a line: {"pod": "Deployment/rae-memory-api", "allowed": false, "reasons": ["..."]}. It ends with 1 when a pod is refused.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"
)

// object has of a manifest what is needed to find the pod in it.
type object struct {
	Kind     string            `json:"kind"`
	Metadata metav1.ObjectMeta `json:"metadata"`
	Spec     json.RawMessage   `json:"spec"`
	Template json.RawMessage   `json:"template"` // a PodTemplate has no spec
	Items    []json.RawMessage `json:"items"`    // a List
}

type verdict struct {
	Pod     string   `json:"pod"`
	Allowed bool     `json:"allowed"`
	Reasons []string `json:"reasons"`
}

type template struct {
	Template corev1.PodTemplateSpec `json:"template"`
}

func podOf(o object) (*corev1.PodTemplateSpec, error) {
	switch o.Kind {
	case "Pod":
		pod := &corev1.PodTemplateSpec{ObjectMeta: o.Metadata}
		return pod, json.Unmarshal(o.Spec, &pod.Spec)
	case "CronJob":
		var spec struct {
			JobTemplate struct {
				Spec template `json:"spec"`
			} `json:"jobTemplate"`
		}
		err := json.Unmarshal(o.Spec, &spec)
		return &spec.JobTemplate.Spec.Template, err
	case "PodTemplate":
		pod := &corev1.PodTemplateSpec{}
		return pod, json.Unmarshal(o.Template, pod)
	case "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job":
		var spec template
		err := json.Unmarshal(o.Spec, &spec)
		return &spec.Template, err
	}
	return nil, nil
}

func run() (refused bool, err error) {
	level, version := "restricted", "latest"
	if len(os.Args) > 1 {
		level = os.Args[1]
	}
	if len(os.Args) > 2 {
		version = os.Args[2]
	}
	lv := api.LevelVersion{}
	if lv.Level, err = api.ParseLevel(level); err != nil {
		return false, err
	}
	if lv.Version, err = api.ParseVersion(version); err != nil {
		return false, err
	}
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		return false, err
	}
	out := json.NewEncoder(os.Stdout)
	var visit func(document []byte) error
	visit = func(document []byte) error {
		var o object
		if err := json.Unmarshal(document, &o); err != nil {
			return err
		}
		for _, item := range o.Items {
			if err := visit(item); err != nil {
				return err
			}
		}
		pod, err := podOf(o)
		if err != nil || pod == nil {
			return err
		}
		v := verdict{Pod: o.Kind + "/" + o.Metadata.Name, Allowed: true, Reasons: []string{}}
		for _, result := range evaluator.EvaluatePod(lv, &pod.ObjectMeta, &pod.Spec) {
			if !result.Allowed {
				v.Allowed, refused = false, true
				v.Reasons = append(v.Reasons, result.ForbiddenReason+": "+result.ForbiddenDetail)
			}
		}
		return out.Encode(v)
	}
	reader := utilyaml.NewYAMLReader(bufio.NewReader(os.Stdin))
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return refused, nil
		}
		if err != nil {
			return refused, err
		}
		asJSON, err := yaml.YAMLToJSON(document)
		if err != nil {
			return refused, err
		}
		if string(asJSON) == "null" {
			continue
		}
		if err := visit(asJSON); err != nil {
			return refused, err
		}
	}
}

func main() {
	refused, err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "psacheck:", err)
		os.Exit(2)
	}
	if refused {
		os.Exit(1)
	}
}
