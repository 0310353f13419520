package sandbox

import (
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestServiceAddress: a service listens in its network, or nowhere; never where only
// it could connect to itself, or where no port is.
func TestServiceAddress(t *testing.T) {
	for listen, ok := range map[string]bool{
		"": true, "198.18.1.2:5432": true, "10.0.0.1:65535": true,
		"127.0.0.1:5432": false, "0.0.0.0:5432": false, "224.0.0.1:1": false, "255.255.255.255:1": false, "169.254.1.1:1": false,
		"198.18.1.2:0": false, "198.18.1.2": false, "[2001:db8::1]:1": false, "db:5432": false, "x": false,
	} {
		c := valid()
		c.Service, c.Listen = true, listen
		err := c.check()
		if (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "of a service, expected ADDRESS:PORT") {
			t.Errorf("%q: %v", listen, err)
		}
		if c.Service = false; (c.check() == nil) != (listen == "127.0.0.1:5432") {
			t.Errorf("an app listens at %q", listen)
		}
	}
	// One that answers at a socket is no other than an app.
	c := valid()
	c.Service, c.Listen = true, "unix:/run/app/s"
	if a, err := c.listen(); err != nil || a.unix != "/run/app/s" {
		t.Errorf("%+v, %v", a, err)
	}
}

// TestHosts: the names of others are put over the image's, if there are any, and
// nobody inside can write them.
func TestHosts(t *testing.T) {
	mounted := func(hosts string) (found []specs.Mount) {
		c := valid()
		c.Hosts = hosts
		s, _, err := c.configuration(bundle{netns: "/n", hosts: "/run/hosts", resolv: "/run/resolv", cgroup: "/x", has: all()})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range s.Mounts {
			if m.Destination == "/etc/hosts" || m.Destination == "/etc/resolv.conf" {
				found = append(found, m)
			}
		}
		return found
	}
	if got := mounted(""); len(got) != 0 {
		t.Errorf("without names %+v", got)
	}
	got := mounted("198.18.1.2 db\n")
	if len(got) != 1 || got[0].Destination != "/etc/hosts" || got[0].Source != "/run/hosts" || got[0].Type != "bind" {
		t.Fatalf("with names %+v", got)
	}
	for _, option := range []string{"ro", "nosuid", "nodev", "noexec"} {
		if !slices.Contains(got[0].Options, option) {
			t.Errorf("it is not mounted %s", option)
		}
	}
}
