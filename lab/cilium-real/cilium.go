// A cilium program for the lab: the CLI's install, upgrade and version with the real Helm and the real chart. The CLI's own
// releases are in no package registry. Like it, it takes the release "cilium" in kube-system, makes the kubeconfig's cluster
// name Cilium's, keeps former values on upgrade, and does not wait for the pods.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"

	"helm.sh/helm/v4/pkg/cli"
	helm "helm.sh/helm/v4/pkg/cmd"
	"helm.sh/helm/v4/pkg/kube"
)

// Beside the program in its system extension.
const embedded = "/usr/local/share/cilium/chart"

func main() {
	kube.ManagedFieldsManager = "helm"
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	verb := strings.Join(args[:min(1, len(args))], "")
	options := flag.NewFlagSet(verb, flag.ContinueOnError)
	version := options.String("version", "", "of the chart: must be the one that is here")
	values := options.String("values", "", "file with Helm values")
	chart := options.String("chart-directory", embedded, "directory with the chart")
	list := options.Bool("list-versions", false, "print the versions of the charts that are here")
	if len(args) > 0 {
		if err := options.Parse(args[1:]); err != nil {
			return err
		}
	}
	own := strings.TrimSpace(read(embedded + "/VERSION"))
	switch {
	case *list:
		fmt.Println(own + " (default)")
		return nil
	case verb == "version":
		fmt.Println("cilium: Helm with the chart", own)
		return nil
	case verb != "install" && verb != "upgrade":
		return fmt.Errorf("unknown command %q for \"cilium\"", verb)
	case *chart == embedded && strings.TrimPrefix(*version, "v") != own:
		return fmt.Errorf("Unable to %s Cilium: there is no chart %s here, only %s", verb, *version, own)
	}
	return apply(verb, *chart, *values)
}

func apply(verb, chart, values string) error {
	config, err := cli.New().RESTClientGetter().ToRawKubeConfigLoader().RawConfig()
	if err != nil {
		return err
	}
	name := config.Contexts[config.CurrentContext].Cluster
	args := []string{verb, "cilium", chart, "--namespace", "kube-system", "--set", "cluster.name=" + name, "--values", values}
	if verb == "upgrade" {
		args = append(args, "--reset-then-reuse-values")
	}
	command, err := helm.NewRootCmd(os.Stdout, args, helm.SetupLogging)
	if err != nil {
		return err
	}
	command.SetArgs(args)
	command.SilenceErrors = true
	if err := command.Execute(); err != nil {
		return fmt.Errorf("Unable to %s Cilium: %w", verb, err)
	}
	return nil
}

func read(file string) string {
	text, _ := os.ReadFile(file)
	return string(text)
}
