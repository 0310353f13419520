package appraise

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/internal/strictyaml"
	"github.com/blindbox/blindbox/policy"
)

// Words of the section require, beside those of a policy.
const (
	wordAnyone        = "anyone"
	wordAuthenticated = "authenticated"
	wordProcess       = "process" // an app without an image
	wordSealed        = "sealed"
)

// vocabulary is what a requirement can say.
type vocabulary struct {
	// words stand alone, each for a list.
	words map[string][]string
	// fits reports whether a list may have it.
	fits     func(string) bool
	expected string
}

func callerWords() vocabulary {
	return vocabulary{
		words: map[string][]string{wordAny: nil, wordNone: {}, wordAuthenticated: authenticated()},
		fits:  isCaller,
		expected: "authenticated, none, the word any, or a list of api_key, certificate, oidc, attested, anyone, " +
			"api_key:sha256:.., certificate:sha256:.. (of the authority) and oidc:https://..",
	}
}

// callerKinds are the kinds of callers that a policy can have.
func callerKinds() []string { return append([]string{wordAnyone}, authenticated()...) }

// authenticated are the kinds of callers that show who they are.
func authenticated() []string { return []string{"api_key", "certificate", "oidc", "attested"} }

// isCaller reports whether a trust file may name callers so. What the policy says
// of a caller must be compared in whole: a SPIFFE id alone would be that of any
// authority which the policy names, and another box's policy alone that of any code.
func isCaller(s string) bool {
	kind, by, narrowed := strings.Cut(s, ":")
	switch {
	case !narrowed:
		return slices.Contains(callerKinds(), kind)
	case kind == "api_key", kind == "certificate":
		return new(sha256Digest).UnmarshalText([]byte(by)) == nil
	}
	return kind == "oidc" && issuerForm.MatchString(by)
}

// issuerForm is what a policy can name as an identity provider.
var issuerForm = regexp.MustCompile(`^https://[a-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?$`)

func egressWords() vocabulary {
	return vocabulary{
		words:    map[string][]string{wordNone: {}},
		fits:     isReference,
		expected: `none, or a list of HOST:PORT as a policy has them, such as api.stripe.com:443, "*.example.com:443" or "[2001:db8::1]:443", and behind a name any, pass, verify (where that is not the default) and private`,
	}
}

var hostForm = regexp.MustCompile(`^(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*$`)

// isReference reports whether s is a destination, and behind it what may differ
// from the default: see [policy.Destination.Reference]. Of an address nothing is
// said, since TLS names none, and it is private or not by itself.
func isReference(s string) bool {
	to, _ := strings.CutSuffix(s, " private")
	place, asks, said := strings.Cut(to, " ")
	host, port, _ := strings.Cut(place, ":")
	usual := policy.TLSAny
	if port == "443" {
		usual = policy.TLSPass
	}
	asked := []policy.TLS{policy.TLSAny, policy.TLSPass, policy.TLSVerify}
	switch {
	case !isDestination(place):
		return false
	case s == place:
		return true
	case !hostForm.MatchString(host) || isAddress(host):
		return false
	}
	return !said || slices.Contains(asked, policy.TLS(asks)) && policy.TLS(asks) != usual
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// isDestination reports whether s could be one of a policy's. One that could not
// would be a requirement that nothing ever meets, because of a slip.
func isDestination(s string) bool {
	if addr, err := netip.ParseAddrPort(s); err == nil {
		usual := netip.AddrPortFrom(addr.Addr().WithZone("").Unmap(), addr.Port())
		return addr.Port() != 0 && usual.String() == s
	}
	host, port, _ := strings.Cut(s, ":")
	n, _ := strconv.ParseUint(port, 10, 16) // what is no number up to 65535 is not written as any n
	return hostForm.MatchString(host) && n != 0 && strconv.FormatUint(n, 10) == port
}

func logWords() vocabulary {
	none, counters := string(policy.LogsNone), string(policy.LogsCounters)
	return vocabulary{
		words: map[string][]string{none: {none}, counters: {none, counters}},
		fits: func(s string) bool {
			return s == none || s == counters || s == wordSealed || s == policy.LogsAudit || recipientForm.MatchString(s)
		},
		expected: "none, counters (which accepts none too), or a list of none, counters, sealed and sealed:age1.., with audit beside them if the host may keep the audit log",
	}
}

var recipientForm = regexp.MustCompile(`^sealed:age1[a-z0-9]{8,}$`)

func operatorWords() vocabulary {
	return vocabulary{
		words:    map[string][]string{wordNone: {}},
		fits:     func(s string) bool { return slices.Contains(policy.Operations(), policy.Operation(s)) },
		expected: "none, or a list of restart, exec, shell, debug",
	}
}

func isolationWords() vocabulary {
	return vocabulary{
		fits:     func(s string) bool { return s == wordProcess || slices.Contains(runtimes(), policy.Isolation(s)) },
		expected: "a list of gvisor, runc and process (an app without an image)",
	}
}

func runtimes() []policy.Isolation {
	return []policy.Isolation{policy.IsolationGVisor, policy.IsolationRunc}
}

func (r *reader) require(d *requireDoc) {
	out := &r.out.require
	out.callers = r.required(d.Callers, "require.callers", callerWords())
	out.egress = r.required(d.Egress, "require.egress", egressWords())
	out.logs = r.required(d.Logs, "require.logs", logWords())
	for _, m := range list(r, d.Images, "require.images") {
		out.images = append(out.images, attest.Digest(m))
	}
	for _, m := range list(r, d.Models, "require.models") {
		out.models = append(out.models, attest.Digest(m))
	}
	r.changes(d)
	out.operators = named[policy.Operation](r.required(d.Operators, "require.operators", operatorWords()))
	out.isolation = named[policy.Isolation](r.required(d.Isolation, "require.isolation", isolationWords()))
	if i := slices.Index(out.isolation, wordProcess); i >= 0 {
		out.isolation[i] = policy.IsolationNone
	}
	if d.Concurrent.Pos.Line != 0 && d.Concurrent.Value < 1 {
		r.errs.Add(d.Concurrent.Pos, "require.concurrent", "", fmt.Sprint(d.Concurrent.Value), "1 or more")
	}
	out.request, out.concurrent = int64(d.Request), d.Concurrent.Value
}

// changes reads what a policy may change of an image that is accepted.
func (r *reader) changes(d *requireDoc) {
	out := &r.out.require
	for _, argument := range d.Command {
		if len(d.Images) == 0 {
			r.errs.Add(argument.Pos, "require.command", "", "no images", "require.images beside it")
		}
		out.command = append(out.command, argument.Value)
	}
	for _, name := range slices.Sorted(maps.Keys(d.Services)) {
		s := d.Services[name]
		if len(d.Images) == 0 {
			r.errs.Add(s.Pos, "require.services", "", "no images", "require.images beside it")
		}
		if !serviceForm.MatchString(name) {
			r.errs.Add(s.Pos, "require.services", "", strictyaml.Quote(name), "the name of a service: lower-case letters, digits and '-'")
		}
		if out.services == nil {
			out.services = make(map[string][]string, len(d.Services))
		}
		for _, argument := range s.Command {
			out.services[name] = append(out.services[name], argument.Value)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.Env)) {
		value := d.Env[name]
		if len(d.Images) == 0 {
			r.errs.Add(value.Pos, "require.env", "", "no images", "require.images beside it")
		}
		if !variableForm.MatchString(name) {
			r.errs.Add(value.Pos, "require.env", "", strictyaml.Quote(name), "a name of letters, digits and '_'")
		}
		if out.env == nil {
			out.env = make(map[string]string, len(d.Env))
		}
		out.env[name] = value.Value
	}
}

// serviceForm is what a policy can name a service.
var serviceForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// variableForm is what a policy can name as a variable.
var variableForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// required reads a requirement that is a list, or a word that stands for one. nil
// asks nothing.
func (r *reader) required(in strictyaml.Words, path string, v vocabulary) []string {
	if in.Pos.Line == 0 {
		return nil
	}
	if in.List == nil {
		out, known := v.words[in.Word]
		if !known {
			r.errs.Add(in.Pos, path, "", strictyaml.Quote(in.Word), v.expected)
		}
		return out
	}
	for i, item := range in.List {
		if !v.fits(item.Value) {
			r.errs.Add(item.Pos, fmt.Sprintf("%s[%d]", path, i), "", strictyaml.Quote(item.Value), v.expected)
		}
	}
	return list(r, in.List, path)
}

// named keeps the difference between no list and an empty one.
func named[T ~string](list []string) []T {
	if list == nil {
		return nil
	}
	out := make([]T, len(list))
	for i, s := range list {
		out[i] = T(s)
	}
	return out
}

// fields returns the keys under "require" that ask for something.
func (q requirements) fields() []field {
	var out []field
	put := func(key string, asked bool, value string) {
		if asked {
			out = append(out, field{key, value})
		}
	}
	put("callers", q.callers != nil, callersText(q.callers))
	put("egress", q.egress != nil, noneOr(quoted(q.egress)))
	put("logs", q.logs != nil, flow(q.logs))
	put("images", q.images != nil, flow(digestWords(q.images)))
	put("models", q.models != nil, flow(digestWords(q.models)))
	put("command", q.command != nil, quoted(q.command))
	put("services", q.services != nil, servicesText(q.services))
	put("env", q.env != nil, envText(q.env))
	put("operators", q.operators != nil, noneOr(flow(q.operators)))
	put("isolation", q.isolation != nil, isolationText(q.isolation))
	put("request", q.request != 0, byteSize(q.request).String())
	put("concurrent", q.concurrent != 0, fmt.Sprint(q.concurrent))
	return out
}

func servicesText(commands map[string][]string) string {
	var out []field
	for _, name := range slices.Sorted(maps.Keys(commands)) {
		out = append(out, field{strconv.Quote(name), flowFields([]field{{"command", quoted(commands[name])}})})
	}
	return flowFields(out)
}

func envText(env map[string]string) string {
	var out []field
	for _, name := range slices.Sorted(maps.Keys(env)) {
		out = append(out, field{strconv.Quote(name), strconv.Quote(env[name])})
	}
	return flowFields(out)
}

func callersText(list []string) string {
	if slices.Equal(list, authenticated()) {
		return wordAuthenticated
	}
	return noneOr(quoted(list))
}

func isolationText(list []policy.Isolation) string {
	words := make([]string, len(list))
	for i, w := range list {
		words[i] = orWord(string(w), wordProcess)
	}
	return flow(words)
}

// noneOr writes an empty list as the word that is read as one.
func noneOr(flow string) string {
	if flow == "[]" {
		return wordNone
	}
	return flow
}
