package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Summary returns one line for a verdict.
func (p *Policy) Summary() string {
	parts := []string{
		"callers: " + p.callerSummary(),
		"logs: " + p.Logs.kind() + p.auditSummary(),
		"request <= " + formatSize(p.Limits.Request),
		fmt.Sprintf("%d at once", p.Limits.Concurrent),
		"egress: " + p.egressSummary(),
	}
	if p.Store != nil {
		parts = append(parts, p.Store.summary())
	}
	if len(p.Services) > 0 {
		parts = append(parts, count(len(p.Services), "service")+" beside the app")
	}
	if len(p.Operators) > 0 {
		parts = append(parts, "OPERATORS MAY "+list(p.Operations()))
	}
	return strings.Join(parts, " · ")
}

func (p *Policy) auditSummary() string {
	if p.Audit == AuditHost {
		return " · audit: HOST"
	}
	return ""
}

func (p *Policy) callerSummary() string {
	var parts []string
	for _, kind := range []struct{ name, what string }{
		{anyoneName, "ANYONE"}, {"api_key", "api key"}, {"certificate", "certificate"}, {"oidc", "identity"}, {"attested", "attested box"},
	} {
		n := 0
		for _, c := range p.Callers {
			if c.Kind() == kind.name && !c.simulated() {
				n++
			}
		}
		switch {
		case n > 0 && kind.name == anyoneName:
			parts = append(parts, kind.what)
		case n > 0:
			parts = append(parts, count(n, kind.what))
		}
	}
	if n := p.simulatedCallers(); n > 0 {
		parts = append(parts, count(n, "SIMULATED box"))
	}
	if len(parts) == 0 {
		return "nobody"
	}
	switch {
	case p.permitsMore():
		parts = append(parts, "MORE by Cedar rules")
	case p.Cedar != "":
		parts = append(parts, "Cedar rules")
	}
	return strings.Join(parts, ", ")
}

// simulated reports whether the caller proves itself by nothing that protects it.
func (c *Caller) simulated() bool { return c.Attested != nil && c.Attested.Kind == simulatedKind }

func (p *Policy) simulatedCallers() int {
	n := 0
	for _, c := range p.Callers {
		if c.simulated() {
			n++
		}
	}
	return n
}

// mostHosts is how many destinations a summary names.
const mostHosts = 3

func (p *Policy) egressSummary() string {
	switch {
	case p.EgressUnrestricted():
		return "NOT RESTRICTED, the app is a plain process"
	case len(p.Egress.Allow) == 0:
		return "none"
	}
	var hosts []string
	for _, d := range p.Egress.Allow[:min(len(p.Egress.Allow), mostHosts)] {
		hosts = append(hosts, d.String())
	}
	if more := len(p.Egress.Allow) - mostHosts; more > 0 {
		hosts = append(hosts, fmt.Sprintf("%d more", more))
	}
	return strings.Join(hosts, ", ")
}

// String returns host:port, an IPv6 address in brackets.
func (d Destination) String() string {
	host := d.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return fmt.Sprintf("%s:%d", host, d.Port)
}

// requests returns "60 requests per minute".
func (b Budget) requests() string { return count(int(b.Count), "request") + " per " + perName(b.Per) }

// bytes returns "1 GiB per day".
func (b Budget) bytes() string { return formatSize(b.Count) + " per " + perName(b.Per) }

func perName(d time.Duration) string {
	switch d {
	case time.Second:
		return "second"
	case time.Minute:
		return "minute"
	case time.Hour:
		return "hour"
	case 24 * time.Hour:
		return "day"
	}
	return d.String()
}

func count(n int, what string) string {
	switch {
	case n == 1:
		return "1 " + what
	case strings.HasSuffix(what, "y") && !strings.HasSuffix(what, "ey"):
		return fmt.Sprintf("%d %sies", n, strings.TrimSuffix(what, "y"))
	case strings.HasSuffix(what, "x"), strings.HasSuffix(what, "s"):
		return fmt.Sprintf("%d %ses", n, what)
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// list writes words with commas and an and.
func list[T ~string](items []T) string {
	all := words(items)
	if len(all) < 2 {
		return strings.Join(all, "")
	}
	return strings.Join(all[:len(all)-1], ", ") + " and " + all[len(all)-1]
}

// sorted writes a map in the order of its keys.
func sorted(m map[string]string) []string {
	out := make([]string, 0, len(m))
	for k, v := range m {
		out = append(out, fmt.Sprintf("%s=%q", k, v))
	}
	slices.Sort(out)
	return out
}

// formatSize writes bytes in the largest unit that divides them.
func formatSize(n int64) string {
	for _, u := range []struct {
		size int64
		name string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n > 0 && n%u.size == 0 {
			return fmt.Sprintf("%d %s", n/u.size, u.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}
