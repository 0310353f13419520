package box

import (
	"bytes"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/blindbox/blindbox/box/egress"
	form "github.com/blindbox/blindbox/receipt"
)

const (
	digestA = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	digestB = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

// TestServicesAreNamed: what a receipt says runs in the box is all of it.
func TestServicesAreNamed(t *testing.T) {
	p := parsed(t, withImage(digestA, "services: [{name: db, image: \"oci:db\", digest: \""+digestB+"\"}]\n"))
	want := []form.Artifact{{Kind: "app", Name: "test.box_1", Digest: p.App.Digest}, {Kind: "service", Name: "db", Digest: p.Services[0].Digest}}
	if got := artifacts(p); !slices.Equal(got, want) {
		t.Errorf("got %+v", got)
	}
}

// TestServicesEnvironment: who has which name, and what goes past the proxy.
func TestServicesEnvironment(t *testing.T) {
	const services = "services: [{name: db, image: \"oci:db\", digest: \"" + digestB + "\", env: {no_proxy: mine}}]\n"
	c := &container{policy: parsed(t, withImage(digestA, services+"egress: {allow: [{host: a.example, port: 1}]}\n"))}
	var err error
	if c.plan, err = egress.NewPlan(c.policy.Egress); err != nil {
		t.Fatal(err)
	}
	if got := c.hosts(); got != "127.0.0.1 localhost\n::1 localhost\n198.18.1.1 app test-box-1\n198.18.1.2 db\n" {
		t.Errorf("hosts %q", got)
	}
	env := c.environment(c.policy.Services[0].Env)
	if !strings.HasSuffix(env["NO_PROXY"], "127.0.0.1,::1,app,test-box-1,db") || env["no_proxy"] != "mine" || env["HTTP_PROXY"] == "" {
		t.Errorf("environment %v", env)
	}
	alone := &container{policy: parsed(t, withImage(digestA, "egress: {allow: [{host: a.example, port: 1}]}\n")), plan: c.plan}
	if env := alone.environment(nil); alone.hosts() != "" || strings.Contains(env["NO_PROXY"], "app") {
		t.Errorf("an app alone has hosts %q and %v", alone.hosts(), env)
	}
	c.policy.Name = "app"
	if got := c.names(); !slices.Equal(got, []string{"app", "db"}) {
		t.Errorf("names %q", got)
	}
}

// TestServicesPrint: what several programs print at once is whole.
func TestServicesPrint(t *testing.T) {
	var out bytes.Buffer
	one := &oneAtATime{to: &out}
	var writers sync.WaitGroup
	for _, line := range []string{"aaaa\n", "bbbb\n"} {
		writers.Go(func() {
			for range 1000 {
				if n, err := one.Write([]byte(line)); n != len(line) || err != nil {
					t.Errorf("wrote %d, %v", n, err)
				}
			}
		})
	}
	writers.Wait()
	if got := out.String(); strings.Count(got, "aaaa\n") != 1000 || strings.Count(got, "bbbb\n") != 1000 {
		t.Errorf("%d bytes are not the lines that were written", len(got))
	}
}
