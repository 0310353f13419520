package learn

import (
	"encoding/hex"
	"fmt"
	"strconv"

	"go.yaml.in/yaml/v3"

	"github.com/blindbox/blindbox/policy"
)

// Opening is how a document is opened for a run that is learned from.
type Opening struct {
	// As is the caller that stands for whoever has the key with the hash KeyHash in
	// this run, unless that is the caller who shows nothing; "" changes nobody.
	As      string
	KeyHash [32]byte
	// Allow are destinations that the run may reach besides those of the document.
	Allow []policy.Destination
	// Memory is the app's in bytes, unless the document has more.
	Memory int64
	// Confined says that the app is an image, so that its limits can be opened.
	Confined bool
}

// What a run may use while it is learned from: far more than a policy has by default,
// so that what was seen is what was needed.
const (
	openPIDs       = 4096
	openFiles      = 4096 // every machine gives that many
	openRequest    = "1GiB"
	openConcurrent = 1000
)

// Open returns a document under which nothing that is to be found out is bounded:
// callers may do everything that a box can be asked, on every path; there are no
// rates, quotas, Cedar rules or sizes. Who the callers are, what runs and where the
// app may connect to stay as they are.
func Open(base *policy.Policy, o Opening) (*policy.Policy, error) {
	doc, err := readDocument(base)
	if err != nil {
		return nil, err
	}
	top := doc.Content[0]
	for _, key := range []string{"cedar", "files", "limits", "logs", "operators", "platforms"} {
		remove(top, key)
	}
	set(top, "limits", openLimits(base, o))
	var may []string
	for _, a := range policy.Actions() {
		if base.Addressed(a) {
			may = append(may, string(a))
		}
	}
	if callers := find(top, "callers"); callers != nil {
		for i, c := range callers.Content {
			openCaller(c, base.Callers[i], may, o)
		}
	}
	if len(o.Allow) > 0 {
		openEgress(top, base, o.Allow)
	}
	return written(doc)
}

func openLimits(base *policy.Policy, o Opening) *yaml.Node {
	l := mapping("request", plain(openRequest), "concurrent", plain(strconv.Itoa(openConcurrent)), "idle", plain(base.Limits.Idle.String()))
	if o.Confined {
		set(l, "memory", plain(size(max(o.Memory, base.Limits.Memory))))
		set(l, "pids", plain(strconv.Itoa(openPIDs)))
		set(l, "open_files", plain(strconv.Itoa(openFiles)))
	}
	return l
}

func openCaller(n *yaml.Node, c policy.Caller, may []string, o Opening) {
	for _, key := range []string{"methods", "paths", "models", "rate", "quota", "may"} {
		remove(n, key)
	}
	set(n, "may", list(may))
	if c.Anyone {
		return // whoever shows nothing needs nothing else
	}
	set(n, "name", quoted(c.Name))
	if c.Name == o.As {
		for _, key := range []string{"api_key", "certificate", "oidc", "audience", "claim", "attested", "expires"} {
			remove(n, key)
		}
		set(n, "api_key", quoted("sha256:"+hex.EncodeToString(o.KeyHash[:])))
	}
}

func openEgress(top *yaml.Node, base *policy.Policy, more []policy.Destination) {
	e := find(top, "egress")
	if e == nil || e.Kind != yaml.MappingNode {
		e = mapping("allow", &yaml.Node{Kind: yaml.SequenceNode})
		set(top, "egress", e)
	}
	allow := find(e, "allow")
	for _, d := range more {
		known := false
		for _, old := range base.Egress.Allow {
			known = known || old.Host == d.Host && old.Port == d.Port
		}
		if !known {
			allow.Content = append(allow.Content, destination(d))
		}
	}
}

// destination writes a line of egress, without what holds by itself.
func destination(d policy.Destination) *yaml.Node {
	n := mapping("host", quoted(d.Host), "port", plain(fmt.Sprint(d.Port)))
	n.Style = yaml.FlowStyle
	if d.TLS != "" {
		set(n, "tls", plain(string(d.TLS)))
	}
	if d.Private {
		set(n, "private", plain("true"))
	}
	return n
}
