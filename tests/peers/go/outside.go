package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// How long a refused request, which nobody answers, is waited for.
const refusal = time.Second

// Streams and key-value from outside, with the rights' shorthands alone.
func init() {
	for name, run := range map[string]func(context.Context, *nats.Conn) error{
		"outside_consume":    outsideConsume,
		"outside_by_subject": outsideBySubject,
		"outside_ordered":    outsideOrdered,
		"outside_reading":    outsideReading,
		"outside_writing":    outsideWriting,
		"outside_refusals":   outsideRefusals,
	} {
		scenarios[name] = func(o *options, _ string) error {
			ctx, cancel := context.WithTimeout(context.Background(), 3*wait)
			defer cancel()
			return with(o, 1, func(c []*nats.Conn) error { return run(ctx, c[0]) })
		}
	}
}

func same[T comparable](what string, got, want T) error {
	if got != want {
		return fmt.Errorf("%s: %v, not %v", what, got, want)
	}
	return nil
}

func outsideConsume(ctx context.Context, nc *nats.Conn) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	consumer, err := js.Consumer(ctx, "ORDERS", "partner")
	if err != nil {
		return err
	}
	next := 0
	take := func(m jetstream.Msg) error {
		err := errors.Join(same("message", string(m.Data()), strconv.Itoa(next)), m.DoubleAck(ctx))
		next++
		return err
	}
	batch, err := consumer.Fetch(5, jetstream.FetchMaxWait(5*time.Second))
	if err != nil {
		return err
	}
	for m := range batch.Messages() {
		if err := take(m); err != nil {
			return err
		}
	}
	if err := errors.Join(batch.Error(), same("fetched", next, 5)); err != nil {
		return err
	}
	done := make(chan error, 20)
	consuming, err := consumer.Consume(func(m jetstream.Msg) { done <- take(m) })
	if err != nil {
		return err
	}
	defer consuming.Stop()
	for range 15 {
		select {
		case err := <-done:
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return errors.New("the rest does not come")
		}
	}
	info, err := consumer.Info(ctx)
	if err != nil {
		return err
	}
	return errors.Join(same("ack pending", info.NumAckPending, 0), same("pending", info.NumPending, 0))
}

// The older API of the same client: it asks for the stream of a subject.
func outsideBySubject(_ context.Context, nc *nats.Conn) error {
	js, err := nc.JetStream()
	if err != nil {
		return err
	}
	sub, err := js.PullSubscribe("orders.in", "partner")
	if err != nil {
		return err
	}
	for next := 0; next < 20; {
		messages, err := sub.Fetch(7, nats.MaxWait(5*time.Second))
		if err != nil {
			return err
		}
		for _, m := range messages {
			if err := errors.Join(same("message", string(m.Data), strconv.Itoa(next)), m.AckSync()); err != nil {
				return err
			}
			next++
		}
	}
	account, err := js.AccountInfo()
	if err != nil {
		return err
	}
	names := []string{}
	for name := range js.StreamNames() {
		names = append(names, name)
	}
	sort.Strings(names)
	known := []string{"AUDIT", "KV_config", "KV_state", "ORDERS"}
	if !slices.Equal(names, known) || account.Streams != len(known) {
		return fmt.Errorf("streams: %v; account: %+v", names, account)
	}
	return nil
}

func outsideOrdered(ctx context.Context, nc *nats.Conn) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	stream, err := js.Stream(ctx, "AUDIT")
	if err != nil {
		return err
	}
	ordered, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return err
	}
	messages, err := ordered.Messages()
	if err != nil {
		return err
	}
	defer messages.Stop()
	for next := range 20 {
		m, err := messages.Next()
		if err == nil {
			err = same("message", string(m.Data()), strconv.Itoa(next))
		}
		if err != nil {
			return err
		}
	}
	last, err := stream.GetLastMsgForSubject(ctx, "audit.in")
	if err != nil {
		return err
	}
	return same("last", last.Sequence, 20)
}

func outsideReading(ctx context.Context, nc *nats.Conn) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	config, err := js.KeyValue(ctx, "config")
	if err != nil {
		return err
	}
	entry, err := config.Get(ctx, "limits.max")
	if err != nil {
		return err
	}
	old, err := config.GetRevision(ctx, "limits.max", 1)
	if err != nil {
		return err
	}
	keys, err := config.Keys(ctx)
	if err != nil {
		return err
	}
	sort.Strings(keys)
	history, err := config.History(ctx, "limits.max")
	if err != nil {
		return err
	}
	status, err := config.Status(ctx)
	if err != nil {
		return err
	}
	watcher, err := config.Watch(ctx, "limits.*")
	if err != nil {
		return err
	}
	first := <-watcher.Updates()
	return errors.Join(
		same("get", string(entry.Value()), "10"),
		same("revision", string(old.Value()), "9"),
		same("keys", fmt.Sprint(keys), "[limits.max limits.min]"),
		same("history", len(history), 2),
		same("status", status.Values(), 3),
		same("watch", first.Key(), "limits.min"),
		watcher.Stop(),
	)
}

func outsideWriting(ctx context.Context, nc *nats.Conn) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	state, err := js.KeyValue(ctx, "state")
	if err != nil {
		return err
	}
	watcher, err := state.Watch(ctx, "seen.*")
	if err != nil {
		return err
	}
	if none := <-watcher.Updates(); none != nil {
		return fmt.Errorf("watch: %v", none)
	}
	first, err := state.Create(ctx, "seen.a", []byte("1"))
	if err != nil {
		return err
	}
	if _, err := state.Update(ctx, "seen.a", []byte("2"), first); err != nil {
		return err
	}
	if _, err := state.Update(ctx, "seen.a", []byte("3"), first); !errors.Is(err, jetstream.ErrKeyExists) {
		return fmt.Errorf("an update of an old revision: %w", err)
	}
	if _, err := state.Put(ctx, "other", []byte("x")); err != nil {
		return err
	}
	if err := errors.Join(state.Delete(ctx, "seen.a"), state.Purge(ctx, "other")); err != nil {
		return err
	}
	for _, want := range []string{"KeyValuePutOp 1", "KeyValuePutOp 2", "KeyValueDeleteOp "} {
		entry := <-watcher.Updates()
		if got := fmt.Sprintf("%v %s", entry.Operation(), entry.Value()); got != want {
			return fmt.Errorf("watch: %s, not %s", got, want)
		}
	}
	_, err = state.Keys(ctx)
	if !errors.Is(err, jetstream.ErrNoKeysFound) {
		return fmt.Errorf("keys: %w", err)
	}
	return watcher.Stop()
}

func outsideRefusals(ctx context.Context, nc *nats.Conn) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	orders, err := js.Stream(ctx, "ORDERS")
	if err != nil {
		return err
	}
	audit, err := js.Stream(ctx, "AUDIT")
	if err != nil {
		return err
	}
	config, err := js.KeyValue(ctx, "config")
	if err != nil {
		return err
	}
	short := func(work func(context.Context) error) func() error {
		return func() error {
			ctx, cancel := context.WithTimeout(ctx, refusal)
			defer cancel()
			return work(ctx)
		}
	}
	attempts := map[string]func(context.Context) error{
		"making a stream": func(ctx context.Context) error {
			_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "MINE", Subjects: []string{"peer.mine"}})
			return err
		},
		"changing a stream": func(ctx context.Context) error {
			_, err := js.UpdateStream(ctx, jetstream.StreamConfig{Name: "ORDERS", MaxMsgs: 1})
			return err
		},
		"deleting a stream":  func(ctx context.Context) error { return js.DeleteStream(ctx, "ORDERS") },
		"purging a stream":   func(ctx context.Context) error { return orders.Purge(ctx) },
		"deleting a message": func(ctx context.Context) error { return orders.DeleteMsg(ctx, 1) },
		"reading a message":  func(ctx context.Context) error { _, err := orders.GetMsg(ctx, 1); return err },
		"another stream":     func(ctx context.Context) error { _, err := js.Stream(ctx, "SECRET"); return err },
		"a consumer of another stream": func(ctx context.Context) error {
			_, err := js.Consumer(ctx, "SECRET", "partner")
			return err
		},
		"making a consumer": func(ctx context.Context) error {
			_, err := orders.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "mine"})
			return err
		},
		"changing a consumer": func(ctx context.Context) error {
			_, err := orders.UpdateConsumer(ctx, jetstream.ConsumerConfig{Durable: "partner", MaxAckPending: 1})
			return err
		},
		"deleting a consumer": func(ctx context.Context) error { return orders.DeleteConsumer(ctx, "partner") },
		"pausing a consumer": func(ctx context.Context) error {
			_, err := orders.PauseConsumer(ctx, "partner", time.Now().Add(time.Minute))
			return err
		},
		"writing where one may read": func(ctx context.Context) error {
			_, err := config.Put(ctx, "limits.max", []byte("99"))
			return err
		},
		"deleting where one may read":         func(ctx context.Context) error { return config.Delete(ctx, "limits.max") },
		"purging where one may read":          func(ctx context.Context) error { return config.Purge(ctx, "limits.max") },
		"purging a stream one may read":       func(ctx context.Context) error { return audit.Purge(ctx) },
		"destroying a bucket":                 func(ctx context.Context) error { return js.DeleteKeyValue(ctx, "config") },
		"another bucket":                      func(ctx context.Context) error { _, err := js.KeyValue(ctx, "secret"); return err },
		"a key of another bucket":             func(ctx context.Context) error { _, err := js.Publish(ctx, "$KV.secret.a", nil); return err },
		"publishing to a stream one may read": func(ctx context.Context) error { _, err := js.Publish(ctx, "audit.in", nil); return err },
		"making a bucket": func(ctx context.Context) error {
			_, err := js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "mine"})
			return err
		},
	}
	var all sync.WaitGroup
	allowed := make(chan string, len(attempts))
	for what, attempt := range attempts {
		all.Go(func() {
			if short(attempt)() == nil {
				allowed <- what
			}
		})
	}
	all.Wait()
	close(allowed)
	for what := range allowed {
		err = errors.Join(err, fmt.Errorf("%s is allowed", what))
	}
	return err
}
