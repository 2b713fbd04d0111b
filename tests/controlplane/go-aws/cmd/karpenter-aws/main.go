/*
Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
*/

// Command karpenter-aws is Karpenter with its AWS provider, as
// github.com/aws/karpenter-provider-aws/cmd/controller puts it together
// (adapted from there), changed in two ways only: it listens on loopback
// alone, and its gauges of offerings can be renewed more often than once a
// minute, so that a test need not wait for them.
package main

import (
	"context"
	"os"
	"strings"
	"time"

	"github.com/samber/lo"
	"k8s.io/client-go/rest"
	controllerruntime "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	v1 "github.com/aws/karpenter-provider-aws/pkg/apis/v1"
	"github.com/aws/karpenter-provider-aws/pkg/cloudprovider"
	"github.com/aws/karpenter-provider-aws/pkg/cloudprovider/registrationhooks"
	"github.com/aws/karpenter-provider-aws/pkg/controllers"
	"github.com/aws/karpenter-provider-aws/pkg/controllers/metrics"
	"github.com/aws/karpenter-provider-aws/pkg/operator"
	"github.com/aws/karpenter-provider-aws/pkg/operator/options"

	coremetrics "sigs.k8s.io/karpenter/pkg/cloudprovider/metrics"
	"sigs.k8s.io/karpenter/pkg/cloudprovider/overlay"
	corecontrollers "sigs.k8s.io/karpenter/pkg/controllers"
	"sigs.k8s.io/karpenter/pkg/controllers/node/health"
	"sigs.k8s.io/karpenter/pkg/controllers/state"
	coreoperator "sigs.k8s.io/karpenter/pkg/operator"
	karpoptions "sigs.k8s.io/karpenter/pkg/operator/options"
)

// gaugesEvery names the environment variable with the time between two
// renewals of the gauges of offerings; without it they are renewed as usual.
const gaugesEvery = "GAUGES_EVERY"

func main() {
	controllerruntime.NewManager = newLoopbackManager
	ctx, op := operator.NewOperator(coreoperator.NewOperator())

	awsCloudProvider := cloudprovider.New(
		op.InstanceTypesProvider,
		op.InstanceProvider,
		op.EventRecorder,
		op.GetClient(),
		op.AMIProvider,
		op.SecurityGroupProvider,
		op.CapacityReservationProvider,
		op.PlacementGroupProvider,
		op.InstanceTypeStore,
		op.CABundle,
		cloudprovider.WithLegacyRepairPolicies(karpoptions.FromContext(ctx).LegacyNodeRepair),
		cloudprovider.WithRebootForRepair(options.FromContext(ctx).FeatureGates.RebootForRepair),
	)
	undecorated := coremetrics.Decorate(awsCloudProvider)
	cloudProvider := overlay.Decorate(undecorated, op.GetClient(), op.InstanceTypeStore)
	repair := lo.Must(health.NewRepairPolicyMatcher(ctx, cloudProvider))
	cluster := state.NewCluster(op.Clock, op.GetClient(), cloudProvider, state.WithRepairPolicyMatcher(repair))

	if karpoptions.FromContext(ctx).FeatureGates.ReservedCapacity {
		v1.CapacityReservationsEnabled = true
	}
	go renewGauges(ctx, op, metrics.NewController(op.GetClient(), cloudProvider))

	op.
		WithControllers(ctx, corecontrollers.NewControllers(
			ctx,
			op.Manager,
			op.Clock,
			op.GetClient(),
			op.EventRecorder,
			cloudProvider,
			undecorated,
			cluster,
			op.InstanceTypeStore,
			op.PredictionStore,
			corecontrollers.WithRegistrationHook(registrationhooks.NewPlacementGroupRegistrationHook(op.InstanceProvider)),
		)...).
		WithControllers(ctx, controllers.NewControllers(
			ctx,
			op.Manager,
			op.Config,
			op.Clock,
			op.EC2API,
			op.GetClient(),
			op.EventRecorder,
			op.UnavailableOfferingsCache,
			op.SSMCache,
			op.ValidationCache,
			op.RecreationCache,
			cloudProvider,
			op.SubnetProvider,
			op.SecurityGroupProvider,
			op.InstanceProfileProvider,
			op.InstanceProvider,
			op.PricingProvider,
			op.AMIProvider,
			op.LaunchTemplateProvider,
			op.VersionProvider,
			op.InstanceTypesProvider,
			op.CapacityReservationProvider,
			op.PlacementGroupProvider,
			op.AMIResolver,
			op.ZonalShiftProvider,
			op.InstanceStatusProvider,
			op.CABundle,
			op.CELEnvironment,
		)...).
		Start(ctx)
}

// renewGauges renews the gauges of offerings as often as it is told to.
func renewGauges(ctx context.Context, op *operator.Operator, gauges *metrics.Controller) {
	every, err := time.ParseDuration(os.Getenv(gaugesEvery))
	if err != nil || every <= 0 {
		return
	}
	<-op.Elected()
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(every):
			// A renewal that fails is made again the next time.
			_, _ = gauges.Reconcile(ctx)
		}
	}
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
