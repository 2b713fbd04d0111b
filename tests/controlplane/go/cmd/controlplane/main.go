// Command controlplane holds etcd, the API server, the controller manager and
// the scheduler in one program, so that they are linked once and share their
// pages in memory. The name it is called by, or else its first argument, says
// which of them it is.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

// commands maps a component to the maker of its command line.
var commands = map[string]func() *cobra.Command{
	"kube-apiserver":          apiserver.NewAPIServerCommand,
	"kube-controller-manager": controllers.NewControllerManagerCommand,
	"kube-scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
}

func main() {
	if code, known := run(filepath.Base(os.Args[0])); known {
		os.Exit(code)
	}
	if len(os.Args) > 1 {
		// The components read os.Args themselves, so their own name goes first.
		os.Args = os.Args[1:]
		if code, known := run(os.Args[0]); known {
			os.Exit(code)
		}
	}
	fmt.Fprintln(os.Stderr, "usage: controlplane etcd|kube-apiserver|kube-controller-manager|kube-scheduler [flags]")
	os.Exit(2)
}

// run starts the named component and waits for its end; known is false when
// there is no such component.
func run(name string) (code int, known bool) {
	if name == "etcd" {
		etcdmain.Main(os.Args)
		return 0, true
	}
	newCommand, known := commands[name]
	if !known {
		return 0, false
	}
	return cli.Run(newCommand()), true
}
