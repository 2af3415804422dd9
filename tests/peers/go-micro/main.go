// Drives the service registry of OpenCloud, go-micro's `nats-js-kv`, for the test suites.
//
//	go-micro-peer URL
//
// One JSON line for each step: {"step": name, "ok": true} or {"step": name, "error": text}. Ends at the first that fails.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/opencloud-eu/opencloud/pkg/natsjsregistry"
	"go-micro.dev/v4/registry"
)

const (
	// Time a service stays without being registered anew.
	ttl      = 2 * time.Second
	patience = 20 * time.Second
)

func service(name, version, node string) *registry.Service {
	return &registry.Service{
		Name:     name,
		Version:  version,
		Metadata: map[string]string{"protocol": "grpc"},
		Nodes:    []*registry.Node{{Id: name + "-" + node, Address: "127.0.0.1:" + node}},
	}
}

// within asks until the answer is what is wanted.
func within[T any](what string, ask func() (T, error), wanted func(T) bool) error {
	var last T
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if last, err = ask(); err == nil && wanted(last) {
			return nil
		}
	}
	return fmt.Errorf("%s: %v, %v", what, last, err)
}

func names(services []*registry.Service) []string {
	list := []string{}
	for _, s := range services {
		list = append(list, s.Name)
	}
	slices.Sort(list)
	return list
}

type world struct {
	// Two processes of one system.
	one, two registry.Registry
	watcher  registry.Watcher
	news     chan *registry.Result
}

func (w *world) told(action, name string) error {
	select {
	case news := <-w.news:
		if news.Action != action || news.Service.Name != name {
			return fmt.Errorf("told of %s %s, not of %s %s", news.Action, news.Service.Name, action, name)
		}
		return nil
	case <-time.After(patience):
		return fmt.Errorf("not told of %s %s", action, name)
	}
}

func (w *world) register() error {
	if err := w.one.Register(service("users", "1.0.0", "1001")); err != nil {
		return err
	}
	got, err := w.two.GetService("users")
	if err != nil {
		return err
	}
	if len(got) != 1 || got[0].Nodes[0].Address != "127.0.0.1:1001" || got[0].Metadata["protocol"] != "grpc" {
		return fmt.Errorf("found %+v", got)
	}
	if none, err := w.two.GetService("user"); err != nil || len(none) != 0 {
		return fmt.Errorf("the beginning of a name found %v, %v", none, err)
	}
	return nil
}

func (w *world) watch() error {
	watcher, err := w.two.Watch()
	if err != nil {
		return err
	}
	w.watcher, w.news = watcher, make(chan *registry.Result)
	go func() {
		for {
			news, err := watcher.Next()
			if err != nil {
				return
			}
			w.news <- news
		}
	}()
	// What is there already comes first.
	if err := w.told("create", "users"); err != nil {
		return err
	}
	if err := w.one.Register(service("groups", "1.0.0", "1002")); err != nil {
		return err
	}
	return w.told("create", "groups")
}

func (w *world) deregister() error {
	if err := w.one.Deregister(service("groups", "1.0.0", "1002")); err != nil {
		return err
	}
	if err := w.told("delete", "groups"); err != nil {
		return err
	}
	groups, err := w.two.GetService("groups")
	if err != nil || len(groups) != 0 {
		return fmt.Errorf("a service that left is found: %v, %v", groups, err)
	}
	return nil
}

// Who registers again in time stays, longer than the time; who doesn't goes.
func (w *world) expiry() error {
	if err := w.one.Register(service("silent", "1.0.0", "1003")); err != nil {
		return err
	}
	gone := func() ([]string, error) {
		if err := w.one.Register(service("users", "1.0.0", "1001")); err != nil {
			return nil, err
		}
		list, err := w.two.ListServices()
		return names(list), err
	}
	return within("services", gone, func(list []string) bool { return slices.Equal(list, []string{"users"}) })
}

func (w *world) all_gone() error {
	list := func() ([]string, error) {
		list, err := w.two.ListServices()
		// How the store of go-micro says that there is none.
		if err != nil && strings.Contains(err.Error(), nats.ErrNoKeysFound.Error()) {
			return nil, nil
		}
		return names(list), err
	}
	return within("services", list, func(list []string) bool { return len(list) == 0 })
}

func run(url string) error {
	w := &world{
		one: natsjsregistry.NewRegistry(registry.Addrs(url), natsjsregistry.DefaultTTL(ttl)),
		two: natsjsregistry.NewRegistry(registry.Addrs(url), natsjsregistry.DefaultTTL(ttl)),
	}
	for _, one := range []registry.Registry{w.one, w.two} {
		if err := one.Init(); err != nil {
			return fmt.Errorf("connecting: %w", err)
		}
	}
	for _, step := range []struct {
		name string
		take func() error
	}{
		{"register", w.register},
		{"watch", w.watch},
		{"deregister", w.deregister},
		{"expiry", w.expiry},
		{"all_gone", w.all_gone},
	} {
		said := map[string]any{"step": step.name, "ok": true}
		err := step.take()
		if err != nil {
			said = map[string]any{"step": step.name, "error": err.Error()}
		}
		line, _ := json.Marshal(said)
		fmt.Println(string(line))
		if err != nil {
			return err
		}
	}
	return nil
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go-micro-peer URL")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "go-micro-peer:", err)
		os.Exit(1)
	}
}
