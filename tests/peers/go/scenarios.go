package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

var scenarios = map[string]func(*options, string) error{
	"connect": func(o *options, _ string) error {
		return with(o, 1, func(c []*nats.Conn) error { return c[0].FlushTimeout(wait) })
	},
	"pubsub":         pubsub,
	"wildcard":       wildcard,
	"queue":          queue,
	"request":        request,
	"headers":        headers,
	"no_responders":  noResponders,
	"deny_publish":   denyPublish,
	"deny_subscribe": denySubscribe,
	"drain":          drain,
	"flush":          flush,
	"payload":        payload,
	"reconnect":      reconnect,
	"throughput":     throughput,
	"expiry":         expiry,
	"renew":          renew,
}

// with opens n connections, runs work and closes them.
func with(o *options, n int, work func([]*nats.Conn) error) error {
	conns := make([]*nats.Conn, n)
	for i := range conns {
		nc, err := o.connect()
		if err != nil {
			return err
		}
		defer nc.Close()
		conns[i] = nc
	}
	return work(conns)
}

// take reads the next messages and compares them with what is wanted.
func take(sub *nats.Subscription, wanted ...string) error {
	for i, want := range wanted {
		m, err := sub.NextMsg(wait)
		if err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
		if string(m.Data) != want {
			return fmt.Errorf("message %d: %.40q, not %.40q", i, m.Data, want)
		}
	}
	return nil
}

func pubsub(o *options, subject string) error {
	return with(o, 1, func(c []*nats.Conn) error {
		sub, err := c[0].SubscribeSync(subject)
		if err != nil {
			return err
		}
		wanted := []string{}
		for i := range 10 {
			wanted = append(wanted, fmt.Sprintf("m%d", i))
			if err := c[0].Publish(subject, []byte(wanted[i])); err != nil {
				return err
			}
		}
		return take(sub, wanted...)
	})
}

func wildcard(o *options, subject string) error {
	return with(o, 1, func(c []*nats.Conn) error {
		star, err := c[0].SubscribeSync(subject + ".*.c")
		if err != nil {
			return err
		}
		tail, err := c[0].SubscribeSync(subject + ".>")
		if err != nil {
			return err
		}
		for _, name := range []string{"a.c", "b.c", "a.b.c", "a"} {
			if err := c[0].Publish(subject+"."+name, []byte(name)); err != nil {
				return err
			}
		}
		return errors.Join(take(star, "a.c", "b.c"), take(tail, "a.c", "b.c", "a.b.c", "a"))
	})
}

func queue(o *options, subject string) error {
	const count = 300
	return with(o, 4, func(c []*nats.Conn) error {
		var mu sync.Mutex
		got, members := []int{}, map[int]int{}
		done := make(chan struct{})
		for i, nc := range c[:3] {
			_, err := nc.QueueSubscribe(subject, "workers", func(m *nats.Msg) {
				n, _ := strconv.Atoi(string(m.Data))
				mu.Lock()
				defer mu.Unlock()
				got = append(got, n)
				members[i]++
				if len(got) == count {
					close(done)
				}
			})
			if err != nil {
				return err
			}
			if err := nc.FlushTimeout(wait); err != nil {
				return err
			}
		}
		for i := range count {
			if err := c[3].Publish(subject, []byte(strconv.Itoa(i))); err != nil {
				return err
			}
		}
		select {
		case <-done:
		case <-time.After(wait):
			return errors.New("the queue did not get everything")
		}
		for _, nc := range c {
			if err := nc.FlushTimeout(wait); err != nil {
				return err
			}
		}
		mu.Lock()
		defer mu.Unlock()
		sort.Ints(got)
		for i, n := range got {
			if i != n || len(got) != count {
				return fmt.Errorf("not each message exactly once: %d messages, %d at place %d", len(got), n, i)
			}
		}
		if len(members) != 3 {
			return fmt.Errorf("a member got nothing: %v", members)
		}
		return nil
	})
}

func request(o *options, subject string) error {
	return with(o, 2, func(c []*nats.Conn) error {
		if _, err := c[0].Subscribe(subject, func(m *nats.Msg) { _ = m.Respond(append([]byte("re:"), m.Data...)) }); err != nil {
			return err
		}
		if err := c[0].FlushTimeout(wait); err != nil {
			return err
		}
		for i := range 20 {
			reply, err := c[1].Request(subject, []byte(strconv.Itoa(i)), wait)
			if err != nil {
				return err
			}
			if string(reply.Data) != fmt.Sprintf("re:%d", i) {
				return fmt.Errorf("reply %q", reply.Data)
			}
		}
		return nil
	})
}

func headers(o *options, subject string) error {
	return with(o, 2, func(c []*nats.Conn) error {
		seen := make(chan nats.Header, 1)
		_, err := c[0].Subscribe(subject, func(m *nats.Msg) {
			seen <- m.Header
			_ = m.RespondMsg(&nats.Msg{Header: nats.Header{"X-Back": {"yes"}}})
		})
		if err != nil {
			return err
		}
		if err := c[0].FlushTimeout(wait); err != nil {
			return err
		}
		ask := &nats.Msg{Subject: subject, Data: []byte("body"), Header: nats.Header{"X-To": {"one", "two"}, "Traceparent": {"00-ab-cd-01"}}}
		reply, err := c[1].RequestMsg(ask, wait)
		if err != nil {
			return err
		}
		there := <-seen
		if strings.Join(there.Values("X-To"), ",") != "one,two" || there.Get("Traceparent") != "00-ab-cd-01" {
			return fmt.Errorf("there: %v", there)
		}
		if reply.Header.Get("X-Back") != "yes" {
			return fmt.Errorf("back: %v", reply.Header)
		}
		return nil
	})
}

func noResponders(o *options, subject string) error {
	return with(o, 1, func(c []*nats.Conn) error {
		start := time.Now()
		if _, err := c[0].Request(subject, nil, wait); !errors.Is(err, nats.ErrNoResponders) {
			return fmt.Errorf("not a no-responders error: %v", err)
		}
		if late := time.Since(start); late > 2*time.Second {
			return fmt.Errorf("the 503 came after %s", late)
		}
		return nil
	})
}

// denied runs a forbidden step, waits for the error and proves that the connection lives on.
func denied(o *options, subject, words string, step func(*nats.Conn) error) error {
	seen := make(chan error, 16)
	nc, err := o.connect(nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { seen <- err }))
	if err != nil {
		return err
	}
	defer nc.Close()
	if err := step(nc); err != nil {
		return err
	}
	select {
	case err := <-seen:
		if !strings.Contains(strings.ToLower(err.Error()), words) {
			return fmt.Errorf("unexpected error: %w", err)
		}
	case <-time.After(wait):
		return errors.New("no permissions violation was reported")
	}
	sub, err := nc.SubscribeSync(subject)
	if err != nil {
		return err
	}
	if err := nc.Publish(subject, []byte("alive")); err != nil {
		return err
	}
	return take(sub, "alive")
}

func denyPublish(o *options, subject string) error {
	return denied(o, subject, "permissions violation for publish", func(nc *nats.Conn) error { return nc.Publish(o.Denied, []byte("x")) })
}

func denySubscribe(o *options, subject string) error {
	return denied(o, subject, "permissions violation for subscription", func(nc *nats.Conn) error {
		_, err := nc.SubscribeSync(o.Denied)
		return err
	})
}

func drain(o *options, subject string) error {
	const count = 200
	closed := make(chan struct{})
	nc, err := o.connect(nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	if err != nil {
		return err
	}
	return with(o, 1, func(c []*nats.Conn) error {
		got := 0
		if _, err := nc.Subscribe(subject, func(*nats.Msg) { got++ }); err != nil {
			return err
		}
		if err := nc.FlushTimeout(wait); err != nil {
			return err
		}
		for i := range count {
			if err := c[0].Publish(subject, []byte(strconv.Itoa(i))); err != nil {
				return err
			}
		}
		if err := c[0].FlushTimeout(wait); err != nil {
			return err
		}
		if err := nc.Drain(); err != nil {
			return err
		}
		select {
		case <-closed:
		case <-time.After(wait):
			return errors.New("the drain did not end")
		}
		if got != count {
			return fmt.Errorf("%d of %d handled before the drain ended", got, count)
		}
		return nil
	})
}

func flush(o *options, _ string) error {
	return with(o, 1, func(c []*nats.Conn) error {
		for range 20 {
			if err := c[0].FlushTimeout(wait); err != nil {
				return err
			}
		}
		_, err := c[0].RTT()
		return err
	})
}

func payload(o *options, subject string) error {
	return with(o, 1, func(c []*nats.Conn) error {
		limit := int(c[0].MaxPayload())
		sub, err := c[0].SubscribeSync(subject)
		if err != nil {
			return err
		}
		if err := c[0].Publish(subject, make([]byte, limit)); err != nil {
			return err
		}
		m, err := sub.NextMsg(wait)
		if err != nil {
			return err
		}
		if len(m.Data) != limit {
			return fmt.Errorf("the largest payload came as %d bytes", len(m.Data))
		}
		if err := c[0].Publish(subject, make([]byte, limit+1)); !errors.Is(err, nats.ErrMaxPayload) {
			return fmt.Errorf("one byte more: %v", err)
		}
		return nil
	})
}

func reconnect(o *options, subject string) error {
	again := make(chan struct{}, 16)
	nc, err := o.connect(func(n *nats.Options) error { n.AllowReconnect = true; return nil }, nats.MaxReconnects(-1),
		nats.ReconnectWait(100*time.Millisecond), nats.ReconnectHandler(func(*nats.Conn) { again <- struct{}{} }))
	if err != nil {
		return err
	}
	defer nc.Close()
	sub, err := nc.SubscribeSync(subject)
	if err != nil {
		return err
	}
	if err := nc.FlushTimeout(wait); err != nil {
		return err
	}
	say(map[string]any{"waiting": "reconnect"})
	select {
	case <-again:
	case <-time.After(wait):
		return errors.New("no reconnection")
	}
	if err := nc.Publish(subject, []byte("back")); err != nil {
		return err
	}
	return take(sub, "back")
}

// expiry: rights end twice; each time the client comes back by itself with a fresh token.
func expiry(o *options, subject string) error {
	again := make(chan struct{}, 16)
	nc, err := o.connect(func(n *nats.Options) error { n.AllowReconnect, n.Token = true, ""; return nil }, nats.MaxReconnects(-1),
		nats.TokenHandler(o.freshToken), nats.ReconnectWait(100*time.Millisecond), nats.ReconnectHandler(func(*nats.Conn) { again <- struct{}{} }))
	if err != nil {
		return err
	}
	defer nc.Close()
	sub, err := nc.SubscribeSync(subject)
	if err != nil {
		return err
	}
	for range 2 {
		select {
		case <-again:
		case <-time.After(wait):
			return errors.New("no reconnection")
		}
	}
	if err := nc.Publish(subject, []byte("back")); err != nil {
		return err
	}
	return take(sub, "back")
}

// renew: told in time, the client shows a fresh token and goes on without a break.
func renew(o *options, subject string) error {
	broken := make(chan struct{}, 1)
	nc, err := o.connect(func(n *nats.Options) error { n.Token = o.freshToken(); return nil },
		nats.DisconnectErrHandler(func(*nats.Conn, error) { broken <- struct{}{} }))
	if err != nil {
		return err
	}
	defer nc.Close()
	notices, err := nc.SubscribeSync("$GATEHOUSE.AUTH.EXPIRING")
	if err != nil {
		return err
	}
	sub, err := nc.SubscribeSync(subject)
	if err != nil {
		return err
	}
	notice, err := notices.NextMsg(wait)
	if err != nil {
		return err
	}
	var told, answered struct {
		Renew     string `json:"renew"`
		OK        bool   `json:"ok"`
		ExpiresAt int64  `json:"expires_at"`
	}
	if err := json.Unmarshal(notice.Data, &told); err != nil {
		return err
	}
	answer, err := nc.Request(told.Renew, []byte(o.freshToken()), wait)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(answer.Data, &answered); err != nil || !answered.OK || answered.ExpiresAt <= told.ExpiresAt {
		return fmt.Errorf("not renewed: %s", answer.Data)
	}
	select {
	case <-broken:
		return errors.New("the connection broke")
	case <-time.After(time.Until(time.Unix(told.ExpiresAt, 0)) + 500*time.Millisecond):
	}
	if err := nc.Publish(subject, []byte("still")); err != nil {
		return err
	}
	return take(sub, "still")
}

func throughput(o *options, subject string) error {
	const count = 10_000
	return with(o, 2, func(c []*nats.Conn) error {
		sub, err := c[0].SubscribeSync(subject)
		if err != nil {
			return err
		}
		if err := c[0].FlushTimeout(wait); err != nil {
			return err
		}
		wanted := make([]string, count)
		for i := range count {
			wanted[i] = strconv.Itoa(i)
			if err := c[1].Publish(subject, []byte(wanted[i])); err != nil {
				return err
			}
		}
		if err := c[1].FlushTimeout(wait); err != nil {
			return err
		}
		return take(sub, wanted...)
	})
}
