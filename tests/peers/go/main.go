// Drives nats.go for the test suites.
//
//	peer scenarios|serve|call|collect|publish '{"url": ..., ...}'
//
// Every result is one JSON line on stdout.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

const wait = 20 * time.Second

type options struct {
	URL        string   `json:"url"`
	Token      string   `json:"token"`
	TokenFile  string   `json:"token_file"`
	User       string   `json:"user"`
	Password   string   `json:"password"`
	CA         string   `json:"ca"`
	Cert       string   `json:"cert"`
	Key        string   `json:"key"`
	ServerName string   `json:"server_name"`
	TLSFirst   bool     `json:"tls_first"`
	Prefix     string   `json:"prefix"`
	Denied     string   `json:"denied"`
	Scenarios  []string `json:"scenarios"`
	Count      int      `json:"count"`
	Subject    string   `json:"subject"`
	Queue      string   `json:"queue"`
	Seconds    float64  `json:"seconds"`
}

func say(fields map[string]any) {
	line, _ := json.Marshal(fields)
	fmt.Println(string(line))
}

func (o *options) connect(more ...nats.Option) (*nats.Conn, error) {
	args := []nats.Option{nats.Timeout(5 * time.Second), nats.NoReconnect(), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})}
	if o.Token != "" {
		args = append(args, nats.Token(o.Token))
	}
	if o.User != "" {
		args = append(args, nats.UserInfo(o.User, o.Password))
	}
	if o.CA != "" || o.Cert != "" {
		config, err := o.tls()
		if err != nil {
			return nil, err
		}
		args = append(args, nats.Secure(config))
		if o.TLSFirst {
			args = append(args, nats.TLSHandshakeFirst())
		}
	}
	return nats.Connect(o.URL, append(args, more...)...)
}

// freshToken is what stands in the token file now.
func (o *options) freshToken() string {
	token, _ := os.ReadFile(o.TokenFile)
	return string(token)
}

func (o *options) tls() (*tls.Config, error) {
	config := &tls.Config{ServerName: o.ServerName, MinVersion: tls.VersionTLS12}
	if o.CA != "" {
		pem, err := os.ReadFile(o.CA)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New("no certificate in the CA file")
		}
	}
	if o.Cert != "" {
		pair, err := tls.LoadX509KeyPair(o.Cert, o.Key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

func runScenarios(o *options) error {
	for _, name := range o.Scenarios {
		start := time.Now()
		prefix := o.Prefix
		if prefix == "" {
			prefix = "peer.go"
		}
		run, known := scenarios[name]
		if !known {
			return fmt.Errorf("no scenario %q", name)
		}
		if err := run(o, prefix+"."+name); err != nil {
			say(map[string]any{"scenario": name, "ok": false, "error": err.Error()})
			continue
		}
		say(map[string]any{"scenario": name, "ok": true, "ms": time.Since(start).Milliseconds()})
	}
	return nil
}

// serve answers requests with what was asked, headers too, until stdin is closed.
func serve(o *options) error {
	nc, err := o.connect()
	if err != nil {
		return err
	}
	_, err = nc.QueueSubscribe(o.Subject, o.Queue, func(m *nats.Msg) {
		_ = m.RespondMsg(&nats.Msg{Data: append([]byte("go:"), m.Data...), Header: m.Header})
	})
	if err != nil {
		return err
	}
	if err := nc.FlushTimeout(wait); err != nil {
		return err
	}
	say(map[string]any{"ready": true})
	_, _ = io.Copy(io.Discard, os.Stdin)
	return nc.Drain()
}

func call(o *options) error {
	nc, err := o.connect()
	if err != nil {
		return err
	}
	defer nc.Close()
	answers := []string{}
	for i := range max(o.Count, 1) {
		ask := nats.NewMsg(o.Subject)
		ask.Data = []byte(strconv.Itoa(i))
		ask.Header.Set("N", strconv.Itoa(i))
		reply, err := nc.RequestMsg(ask, wait)
		if err != nil {
			return err
		}
		if reply.Header.Get("N") != strconv.Itoa(i) {
			return fmt.Errorf("header of answer %d: %v", i, reply.Header)
		}
		answers = append(answers, string(reply.Data))
	}
	say(map[string]any{"answers": answers})
	return nil
}

func publish(o *options) error {
	nc, err := o.connect()
	if err != nil {
		return err
	}
	defer nc.Close()
	for i := range o.Count {
		if err := nc.Publish(o.Subject, []byte(strconv.Itoa(i))); err != nil {
			return err
		}
	}
	if err := nc.FlushTimeout(wait); err != nil {
		return err
	}
	say(map[string]any{"published": o.Count})
	return nil
}

// collect prints what arrived, when `count` messages have or `seconds` are over.
func collect(o *options) error {
	nc, err := o.connect()
	if err != nil {
		return err
	}
	defer nc.Close()
	sub, err := nc.QueueSubscribeSync(o.Subject, o.Queue)
	if err != nil {
		return err
	}
	if err := nc.FlushTimeout(wait); err != nil {
		return err
	}
	say(map[string]any{"ready": true})
	end := time.Now().Add(wait)
	if o.Seconds > 0 {
		end = time.Now().Add(time.Duration(o.Seconds * float64(time.Second)))
	}
	collected := []string{}
	for len(collected) < o.Count {
		m, err := sub.NextMsg(time.Until(end))
		if err != nil {
			break
		}
		collected = append(collected, string(m.Data))
	}
	say(map[string]any{"collected": collected})
	return nil
}

func main() {
	var o options
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: peer MODE OPTIONS")
		os.Exit(2)
	}
	if err := json.Unmarshal([]byte(os.Args[2]), &o); err != nil {
		fmt.Fprintln(os.Stderr, "options:", err)
		os.Exit(2)
	}
	modes := map[string]func(*options) error{"scenarios": runScenarios, "serve": serve, "call": call, "collect": collect, "publish": publish}
	if err := modes[os.Args[1]](&o); err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}
