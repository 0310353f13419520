package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/blindbox/blindbox/internal/strictyaml"
)

// maxRules bounds what callers compile to: an action on a path each.
const maxRules = 20000

func (b *builder) callers(d *document) {
	rules := 0
	for _, doc := range d.Callers {
		if rules += len(doc.May) * max(1, len(doc.Paths)); rules > maxRules {
			b.errs.Add(doc.Pos, "callers", fmt.Sprintf("more than %d rules, actions times paths of every caller", maxRules), "", "")
			return
		}
	}
	names, ids := map[string]strictyaml.Pos{}, map[string]strictyaml.Pos{}
	for i, doc := range d.Callers {
		at := fmt.Sprintf("callers[%d]", i)
		c := Caller{
			Line: doc.Pos.Line, Anyone: doc.Anyone.Value,
			May: values[Action](doc.May), Methods: values[string](doc.Methods),
			Paths: values[string](doc.Paths), Models: values[string](doc.Models),
			Rate: b.budget(doc.Rate), Quota: b.quota(doc.Quota, at), Expires: b.expires(doc.Expires, at),
		}
		b.identity(&c, &doc, at)
		b.callerName(&c, &doc, at, names)
		if id := c.identity(); id != "" {
			b.unique(ids, text{Value: id, Pos: doc.Pos}, at, "caller")
		}
		b.may(&c, &doc, at, d.Cedar.Pos.Line != 0)
		b.policy.Callers = append(b.policy.Callers, c)
	}
}

// identity reads how the caller is recognised.
func (b *builder) identity(c *Caller, d *callerDoc, at string) {
	if given(d.Anyone) && !d.Anyone.Value {
		b.refuse(d.Anyone.Pos, at+".anyone", "false", "true: leave the key out instead")
	}
	if given(d.APIKey) {
		sum := b.digest(d.APIKey, at+".api_key")
		c.APIKey = &sum
	}
	if d.Certificate != nil {
		c.Certificate = b.certificate(d.Certificate, at+".certificate")
	}
	b.oidc(c, d, at)
	if d.Attested != nil {
		c.Attested = b.attested(d.Attested, at+".attested")
	}
}

func (b *builder) certificate(d *certificateDoc, at string) *Certificate {
	return &Certificate{CA: b.digest(d.CA, at+".ca"), SPIFFE: d.SPIFFE.Value, Subject: d.Subject.Value}
}

func (b *builder) oidc(c *Caller, d *callerDoc, at string) {
	if !given(d.OIDC) {
		if given(d.Audience) {
			b.refuse(d.Audience.Pos, at+".audience", "audience", "none without oidc")
		}
		for _, name := range slices.Sorted(maps.Keys(d.Claim)) {
			b.refuse(d.Claim[name].Pos, at+".claim", "claim", "none without oidc")
		}
		return
	}
	if u, err := url.Parse(d.OIDC.Value); err != nil || !isHost(u.Hostname()) {
		b.refuseText(d.OIDC, at+".oidc", forms()["url"].expected)
	}
	if !given(d.Audience) {
		b.missing(d.Pos, at+".audience", "the audience that tokens for this box have, so that those for others are of no use here")
	}
	c.OIDC = &OIDC{Issuer: d.OIDC.Value, Audience: d.Audience.Value}
	for name, v := range d.Claim {
		if c.OIDC.Claims == nil {
			c.OIDC.Claims = make(map[string]string, len(d.Claim))
		}
		c.OIDC.Claims[name] = v.Value
	}
}

func (b *builder) attested(d *attestedDoc, at string) *Attested {
	raw, _ := hex.DecodeString(d.Measurement.Value)
	if want := measurementSize(d.Kind.Value); want != 0 && len(raw) != want {
		b.refuseText(d.Measurement, at+".measurement", fmt.Sprintf("%d lower-case hex digits for %s", 2*want, d.Kind.Value))
	}
	if len(strings.Trim(d.Measurement.Value, "0")) == 0 {
		b.refuse(d.Measurement.Pos, at+".measurement", "all zeros", "what the hardware measured")
	}
	return &Attested{
		Kind: d.Kind.Value, Measurement: raw, Policy: b.digest(d.Policy, at+".policy"), SimulatedRoot: b.simulatedRoot(d, at+".simulated_root"),
	}
}

// simulatedKind is the kind of evidence that proves nothing about hardware.
const simulatedKind = "sim-sev-snp"

// simulatedRoot reads whose word a simulated box is. Nobody gets one accepted by
// writing another kind alone.
func (b *builder) simulatedRoot(d *attestedDoc, at string) [sha256.Size]byte {
	simulated := d.Kind.Value == simulatedKind
	switch {
	case !given(d.Root):
		if simulated {
			b.missing(d.Pos, at, "the simulated root by which the other box proves itself; blindbox dev shows it in the trust file")
		}
		return [sha256.Size]byte{}
	case !simulated:
		b.refuse(d.Root.Pos, at, "simulated_root", "none with "+d.Kind.Value+", which is hardware")
	case len(strings.Trim(strings.TrimPrefix(d.Root.Value, "sha256:"), "0")) == 0:
		b.refuse(d.Root.Pos, at, "all zeros", "the fingerprint of a simulated root")
	}
	return b.digest(d.Root, at)
}

// measurementSize returns how many bytes a kind's measurement has; 0 if that
// depends.
func measurementSize(kind string) int {
	switch kind {
	case "sev-snp", "sim-sev-snp", "azure-sev-snp", "tdx", "azure-tdx", "nitro":
		return 48 // SHA-384: AMD 56860, table 23; TDX MRTD; Nitro PCR0
	case "sgx":
		return 32 // SHA-256: MRENCLAVE
	}
	return 0
}

const anyoneName = "anyone"

func (b *builder) callerName(c *Caller, d *callerDoc, at string, names map[string]strictyaml.Pos) {
	t := d.Name
	if !given(t) {
		t = text{Value: c.madeName(), Pos: d.Pos}
	} else if t.Value == anyoneName && !c.Anyone {
		b.refuseText(t, at+".name", "another name for a caller that is known")
	}
	if c.Name = t.Value; c.Name != "" {
		b.unique(names, t, at+".name", "name")
	}
}

// madeName is the name of a caller to whom the document gives none.
func (c *Caller) madeName() string {
	switch {
	case c.Anyone:
		return anyoneName
	case c.APIKey != nil:
		return "key-" + hex.EncodeToString(c.APIKey[:4])
	case c.Certificate != nil:
		return "certificate-" + hex.EncodeToString(c.Certificate.CA[:4])
	case c.OIDC != nil:
		host, _, _ := strings.Cut(strings.TrimPrefix(c.OIDC.Issuer, "https://"), "/")
		host, _, _ = strings.Cut(host, ":")
		return ("oidc-" + host)[:min(len("oidc-"+host), 64)]
	case c.Attested != nil:
		return "box-" + hex.EncodeToString(c.Attested.Measurement[:min(4, len(c.Attested.Measurement))])
	}
	return ""
}

// identity is the same for two callers that cannot be told apart.
func (c *Caller) identity() string {
	switch {
	case c.Anyone:
		return anyoneName
	case c.APIKey != nil:
		return fmt.Sprintf("api_key %x", *c.APIKey)
	case c.Certificate != nil:
		return fmt.Sprintf("certificate %x %q %q", c.Certificate.CA, c.Certificate.SPIFFE, c.Certificate.Subject)
	case c.OIDC != nil:
		// fmt writes maps in the order of their keys.
		return fmt.Sprintf("oidc %q %q %q", c.OIDC.Issuer, c.OIDC.Audience, c.OIDC.Claims)
	case c.Attested != nil:
		return fmt.Sprintf("attested %s %x %x %x", c.Attested.Kind, c.Attested.Measurement, c.Attested.Policy, c.Attested.SimulatedRoot)
	}
	return ""
}

func (b *builder) expires(a strictyaml.At[scalar], at string) time.Time {
	if !given(a) {
		return time.Time{}
	}
	t, _ := time.Parse("2006-01-02T15:04:05Z", string(a.Value))
	if t.IsZero() {
		b.refuse(a.Pos, at+".expires", strictyaml.Quote(string(a.Value)), forms()["time"].expected)
	}
	return t
}

func (b *builder) quota(d *quotaDoc, at string) *Quota {
	if d == nil {
		return nil
	}
	return &Quota{Requests: b.budget(d.Requests), Bytes: b.byteBudget(d.Bytes, at+".quota.bytes")}
}

func (b *builder) may(c *Caller, d *callerDoc, at string, cedar bool) {
	if len(d.May) == 0 && !cedar {
		b.missing(d.Pos, at+".may", "what the caller may do: "+oneOf(words(Actions())))
	}
	for _, limit := range []struct {
		key  string
		list []text
	}{{"methods", d.Methods}, {"paths", d.Paths}, {"models", d.Models}} {
		if len(limit.list) > 0 && !c.limited() {
			b.refuse(limit.list[0].Pos, at+"."+limit.key, limit.key, "none, since they limit only what the caller may do but observe")
		}
	}
	for i, t := range d.Paths {
		if why := checkPattern(t.Value); why != "" {
			b.refuseText(t, fmt.Sprintf("%s.paths[%d]", at, i), why)
		}
	}
	for i, t := range d.Methods {
		if t.Value == "CONNECT" || t.Value == "TRACE" {
			b.refuseText(t, fmt.Sprintf("%s.methods[%d]", at, i), forms()["method"].expected)
		}
	}
}

// limited reports whether the caller may do something that methods, paths and
// models limit.
func (c *Caller) limited() bool {
	return slices.ContainsFunc(c.May, func(a Action) bool { return a != Observe })
}
