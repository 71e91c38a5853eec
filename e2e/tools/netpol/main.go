// netpol tells by NetworkPolicies which connections get through. It reads policies, peers and connections
// between them as JSON from standard input and writes, for each connection, whether it gets through.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/mattfenwick/cyclonus/pkg/matcher"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// What is read.
type question struct {
	Policies    []*networkingv1.NetworkPolicy `json:"policies"`
	Peers       []peer                        `json:"peers"`
	Connections []connection                  `json:"connections"`
}

// From and To are places in the list of peers.
type connection struct {
	From     int             `json:"from"`
	To       int             `json:"to"`
	Port     int             `json:"port"`
	PortName string          `json:"portName"`
	Protocol corev1.Protocol `json:"protocol"`
}

// An address without a namespace is outside of the cluster.
type peer struct {
	Namespace       string            `json:"namespace"`
	NamespaceLabels map[string]string `json:"namespaceLabels"`
	Labels          map[string]string `json:"labels"`
	IP              string            `json:"ip"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "netpol:", err)
		os.Exit(1)
	}
}

func run() error {
	var asked question
	input := json.NewDecoder(os.Stdin)
	input.DisallowUnknownFields()
	if err := input.Decode(&asked); err != nil {
		return err
	}
	policies := matcher.BuildNetworkPolicies(false, asked.Policies)
	peers := make([]*matcher.TrafficPeer, 0, len(asked.Peers))
	for _, it := range asked.Peers {
		peers = append(peers, it.traffic())
	}
	answers := make([]bool, 0, len(asked.Connections))
	for _, it := range asked.Connections {
		allowed := policies.IsTrafficAllowed(&matcher.Traffic{
			Source:           peers[it.From],
			Destination:      peers[it.To],
			ResolvedPort:     it.Port,
			ResolvedPortName: it.PortName,
			Protocol:         it.Protocol,
		})
		answers = append(answers, allowed.IsAllowed())
	}
	return json.NewEncoder(os.Stdout).Encode(answers)
}

func (p peer) traffic() *matcher.TrafficPeer {
	if p.Namespace == "" {
		return &matcher.TrafficPeer{IP: p.IP}
	}
	return &matcher.TrafficPeer{IP: p.IP, Internal: &matcher.InternalPeer{
		Namespace:       p.Namespace,
		NamespaceLabels: p.NamespaceLabels,
		PodLabels:       p.Labels,
	}}
}
