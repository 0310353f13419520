package egress

import (
	"os"
	"testing"
	"time"

	"github.com/blindbox/blindbox/policy"
)

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("making networks needs root")
	}
}

func TestSmoke(t *testing.T) {
	needRoot(t)
	plan, err := NewPlan(policy.Egress{Connections: 4, Allow: []policy.Destination{{Host: "a.example", Port: 443, TLS: policy.TLSPass}, {Host: "10.1.2.3", Port: 5432, TLS: policy.TLSAny, Private: true}}})
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		t0 := time.Now()
		n, err := NewNamespace(plan)
		if err != nil {
			t.Fatal(err)
		}
		t.Log(time.Since(t0))
		d, err := n.listeners.Dropped()
		t.Log(d, err, n.Path())
		t0 = time.Now()
		t.Log(n.Close(), time.Since(t0))
	}
}
