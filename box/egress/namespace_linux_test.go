package egress

import (
	"testing"
	"time"

	"github.com/blindbox/blindbox/policy"
)

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
		n.Close()
	}
}
