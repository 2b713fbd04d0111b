// Command karpenter is Karpenter with its KWOK cloud provider, changed in two
// ways only: it listens on loopback alone, and a file can name offerings that
// cannot be had, so that tests see real launch failures.
package main

import (
	"os"
	"strings"

	controllerruntime "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"k8s.io/client-go/rest"
	kwok "sigs.k8s.io/karpenter/kwok/cloudprovider"
	"sigs.k8s.io/karpenter/pkg/cloudprovider/overlay"
	"sigs.k8s.io/karpenter/pkg/controllers"
	"sigs.k8s.io/karpenter/pkg/controllers/node/health"
	"sigs.k8s.io/karpenter/pkg/controllers/state"
	"sigs.k8s.io/karpenter/pkg/operator"
)

// unavailableOfferingsPath names the environment variable with the path of the
// list of offerings that cannot be had.
const unavailableOfferingsPath = "UNAVAILABLE_OFFERINGS_FILE_PATH"

func main() {
	controllerruntime.NewManager = newLoopbackManager
	ctx, op := operator.NewOperator()

	types, err := kwok.ConstructInstanceTypes(ctx)
	must(err)
	provider := newScarceProvider(ctx, op.GetClient(), types, os.Getenv(unavailableOfferingsPath))
	decorated := overlay.Decorate(provider, op.GetClient(), op.InstanceTypeStore)
	repair, err := health.NewRepairPolicyMatcher(ctx, decorated)
	must(err)
	cluster := state.NewCluster(op.Clock, op.GetClient(), decorated, state.WithRepairPolicyMatcher(repair))

	all := controllers.NewControllers(
		ctx, op.Manager, op.Clock, op.GetClient(), op.EventRecorder,
		decorated, provider, cluster, op.InstanceTypeStore, op.PredictionStore,
	)
	op.WithControllers(ctx, all...).Start(ctx)
}

// newLoopbackManager makes the manager as asked, with its servers on loopback:
// Karpenter's options know a port and no address.
func newLoopbackManager(config *rest.Config, options manager.Options) (manager.Manager, error) {
	options.Metrics.BindAddress = onLoopback(options.Metrics.BindAddress)
	options.HealthProbeBindAddress = onLoopback(options.HealthProbeBindAddress)
	return manager.New(config, options)
}

func onLoopback(address string) string {
	if strings.HasPrefix(address, ":") {
		return "127.0.0.1" + address
	}
	return address
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
