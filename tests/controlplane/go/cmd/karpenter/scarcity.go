package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	kwok "sigs.k8s.io/karpenter/kwok/cloudprovider"
	v1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/cloudprovider"
	"sigs.k8s.io/karpenter/pkg/scheduling"
)

// unavailable names offerings that cannot be had; an empty field means any.
type unavailable struct {
	InstanceType string `json:"instance_type"`
	Zone         string `json:"zone"`
	CapacityType string `json:"capacity_type"`
}

func (u unavailable) names(key offeringKey) bool {
	return matches(u.InstanceType, key.instanceType) && matches(u.Zone, key.zone) && matches(u.CapacityType, key.capacityType)
}

func matches(wanted, got string) bool {
	return wanted == "" || wanted == got
}

type offeringKey struct {
	instanceType, zone, capacityType string
}

// scarceProvider refuses to launch what the file names. As the provider for AWS
// does, it shows an offering as unavailable only once a launch met its refusal.
type scarceProvider struct {
	cloudprovider.CloudProvider

	kubeClient client.Client
	types      []*cloudprovider.InstanceType
	path       string

	mu      sync.Mutex
	refused map[offeringKey]bool
}

func newScarceProvider(ctx context.Context, kubeClient client.Client, types []*cloudprovider.InstanceType, path string) *scarceProvider {
	return &scarceProvider{
		CloudProvider: kwok.NewCloudProvider(ctx, kubeClient, types),
		kubeClient:    kubeClient,
		types:         types,
		path:          path,
		refused:       map[offeringKey]bool{},
	}
}

// Create launches the claim on the cheapest offering that can be had, or
// answers that there is no capacity.
func (p *scarceProvider) Create(ctx context.Context, claim *v1.NodeClaim) (*v1.NodeClaim, error) {
	rules, err := p.rules()
	if err != nil {
		return nil, err
	}
	if len(rules) == 0 {
		return p.CloudProvider.Create(ctx, claim)
	}
	left := p.withoutUnavailable(rules, func(offeringKey) bool { return true })
	narrowed, found := p.narrow(claim, left)
	p.remember(claim, rules)
	if !found {
		return nil, cloudprovider.NewInsufficientCapacityError(fmt.Errorf("no capacity for any offering of claim %s", claim.Name))
	}
	return kwok.NewCloudProvider(ctx, p.kubeClient, left).Create(ctx, narrowed)
}

// GetInstanceTypes returns every type, with the offerings a launch was refused
// for, and still would be, marked as unavailable.
func (p *scarceProvider) GetInstanceTypes(ctx context.Context, pool *v1.NodePool) ([]*cloudprovider.InstanceType, error) {
	rules, err := p.rules()
	if err != nil {
		return nil, err
	}
	if len(rules) == 0 {
		p.mu.Lock()
		clear(p.refused)
		p.mu.Unlock()
		return p.CloudProvider.GetInstanceTypes(ctx, pool)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.withoutUnavailable(rules, func(key offeringKey) bool { return p.refused[key] }), nil
}

func (p *scarceProvider) rules() ([]unavailable, error) {
	if p.path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(p.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var rules []unavailable
	if err := json.Unmarshal(text, &rules); err != nil {
		return nil, fmt.Errorf("reading %s, %w", p.path, err)
	}
	return rules, nil
}

func (p *scarceProvider) withoutUnavailable(rules []unavailable, applies func(offeringKey) bool) []*cloudprovider.InstanceType {
	types := make([]*cloudprovider.InstanceType, 0, len(p.types))
	for _, it := range p.types {
		offerings := make(cloudprovider.Offerings, 0, len(it.Offerings))
		for _, offering := range it.Offerings {
			left := *offering
			key := keyOf(it, offering)
			left.Available = offering.Available && !(named(rules, key) && applies(key))
			offerings = append(offerings, &left)
		}
		types = append(types, &cloudprovider.InstanceType{
			Name:                   it.Name,
			Requirements:           it.Requirements,
			Offerings:              offerings,
			Capacity:               it.Capacity,
			VolumeAttachmentLimits: it.VolumeAttachmentLimits,
			DynamicResources:       it.DynamicResources,
			Overhead:               it.Overhead,
		})
	}
	return types
}

// narrow returns a copy of the claim that asks only for types with an offering
// that can be had; found is false when there is none.
func (p *scarceProvider) narrow(claim *v1.NodeClaim, types []*cloudprovider.InstanceType) (narrowed *v1.NodeClaim, found bool) {
	wanted := scheduling.NewNodeSelectorRequirementsWithMinValues(claim.Spec.Requirements...)
	var names []string
	for _, it := range types {
		if wanted.Get(corev1.LabelInstanceTypeStable).Has(it.Name) && it.Offerings.Available().HasCompatible(wanted) {
			names = append(names, it.Name)
		}
	}
	narrowed = claim.DeepCopy()
	for i := range narrowed.Spec.Requirements {
		if narrowed.Spec.Requirements[i].Key == corev1.LabelInstanceTypeStable {
			narrowed.Spec.Requirements[i].Values = names
		}
	}
	return narrowed, len(names) > 0
}

// remember notes which of the offerings that the claim could use were refused.
func (p *scarceProvider) remember(claim *v1.NodeClaim, rules []unavailable) {
	wanted := scheduling.NewNodeSelectorRequirementsWithMinValues(claim.Spec.Requirements...)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, it := range p.types {
		if !wanted.Get(corev1.LabelInstanceTypeStable).Has(it.Name) {
			continue
		}
		for _, offering := range it.Offerings.Compatible(wanted) {
			if key := keyOf(it, offering); named(rules, key) {
				p.refused[key] = true
			}
		}
	}
}

func keyOf(it *cloudprovider.InstanceType, offering *cloudprovider.Offering) offeringKey {
	return offeringKey{instanceType: it.Name, zone: offering.Zone(), capacityType: offering.CapacityType()}
}

func named(rules []unavailable, key offeringKey) bool {
	for _, rule := range rules {
		if rule.names(key) {
			return true
		}
	}
	return false
}
