package egress

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/blindbox/blindbox/policy"
)

// TestRecording: each place that the app tries is told, none is reached.
func TestRecording(t *testing.T) {
	needRoot(t)
	plan, err := NewPlan(policy.Egress{})
	if err != nil {
		t.Fatal(err)
	}
	n, err := NewNamespace(NewRecordingPlan(plan))
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	var mu sync.Mutex
	seen := map[Attempt]bool{}
	p, err := New(Config{
		Resolver: net.DefaultResolver, Dial: DialTCP, Clock: time.Now, Timeouts: DefaultTimeouts(),
		Wanted: func(a Attempt) {
			mu.Lock()
			defer mu.Unlock()
			seen[a] = true
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- p.Serve(n.Listeners()) }()
	name := addressOf(t, n, "api.example")
	for _, to := range []string{name + ":443", "93.184.216.34:8080", "10.1.2.3:5432"} {
		if c, err := n.DialContext(t.Context(), "tcp", to); err == nil {
			c.Close()
			t.Errorf("%s: connected", to)
		}
	}
	if c, err := n.DialContext(t.Context(), "udp", "9.9.9.9:9999"); err != nil {
		t.Error(err)
	} else {
		fmt.Fprint(c, "x")
		c.Close()
	}
	want := []Attempt{{"api.example", 0, "dns"}, {"api.example", 443, "tcp"}, {"93.184.216.34", 8080, "tcp"}, {"10.1.2.3", 5432, "tcp"}, {"9.9.9.9", 9999, "udp"}}
	missing := func() []Attempt {
		mu.Lock()
		defer mu.Unlock()
		return slices.DeleteFunc(slices.Clone(want), func(a Attempt) bool { return seen[a] })
	}
	deadline := time.Now().Add(time.Minute)
	for len(missing()) > 0 && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	if left := missing(); len(left) > 0 {
		t.Errorf("not told of %v, but of %v", left, seen)
	}
	p.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// addressOf asks the answerer for a name, and returns its address.
func addressOf(t *testing.T, n *Namespace, name string) string {
	t.Helper()
	c, err := n.DialContext(t.Context(), "udp", gateAddress+":53")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	q := []byte{0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	for _, label := range strings.Split(name, ".") {
		q = append(append(q, byte(len(label))), label...)
	}
	q = append(q, 0, 0, 1, 0, 1)
	answer := make([]byte, 512)
	// A wire loses what is sent before both of its ends have seen that they are up.
	for deadline := time.Now().Add(time.Minute); ; {
		if _, err := c.Write(q); err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		k, err := c.Read(answer)
		if err == nil && k >= 4 {
			return net.IP(answer[k-4 : k]).String()
		}
		if time.Now().After(deadline) {
			t.Fatal(k, err)
		}
	}
}
