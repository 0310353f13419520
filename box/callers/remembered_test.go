package callers

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"math/big"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/policy"
)

// TestRememberedIsExact: what a connection remembers is what would be found out
// anew, at every moment, in whatever order the clock shows them.
func TestRememberedIsExact(t *testing.T) {
	start := newClock().now()
	now := start
	dates := func(from, to time.Duration) func(*x509.Certificate) {
		return func(x *x509.Certificate) { x.NotBefore, x.NotAfter = start.Add(from), start.Add(to) }
	}
	ca := issue(t, nil, func(x *x509.Certificate) { authority(x); dates(-50*time.Second, 50*time.Second)(x) })
	between := issue(t, ca, func(x *x509.Certificate) {
		authority(x)
		x.Subject.CommonName = "between"
		dates(-40*time.Second, 30*time.Second)(x)
	})
	leaf := issue(t, between, dates(-20*time.Second, 40*time.Second))
	stranger := issue(t, nil, dates(-30*time.Second, 20*time.Second))
	p := must[*policy.Policy](t)(policy.Parse([]byte(app + "  - {name: all, certificate: {ca: " + fingerprint(ca.cert) + "}, may: [query]}\n")))
	a := must[*Authenticator](t)(New(Config{Policy: p, Now: func() time.Time { return now }}))
	text := func(r *Refusal) string {
		if r == nil {
			return ""
		}
		return r.Detail
	}
	random := rand.New(rand.NewPCG(1, 2))
	for name, chain := range map[string][]*x509.Certificate{
		"good":     {leaf.cert, between.cert, ca.cert},
		"bad":      {stranger.cert, between.cert, ca.cert},
		"nobody's": {stranger.cert},
	} {
		kept, said := new(connection), map[string]bool{}
		for range 3000 {
			// Mostly on the very edges, and a nanosecond beside them.
			now = start.Add(time.Duration(random.IntN(13)-6)*10*time.Second + time.Duration(random.IntN(3)-1))
			caller, refused := kept.certified(a, chain)
			want, wantRefused := a.verify(chain, now)
			if caller != want || text(refused) != text(wantRefused) {
				t.Fatalf("%s, %s after the start: remembered %v %q, found anew %v %q", name, now.Sub(start), caller, text(refused), want, text(wantRefused))
			}
			said[text(refused)] = true
		}
		if wants := map[string]int{"good": 2, "bad": 1, "nobody's": 1}[name]; len(said) < wants {
			t.Errorf("%s: only %v", name, said)
		}
	}
}

// TestRemembered: good or bad, a chain is looked at once, until one of its
// certificates begins or ends, or for a day.
func TestRemembered(t *testing.T) {
	c := newClock()
	ca, other := issue(t, nil, authority), issue(t, nil, authority)
	long := issue(t, ca, func(x *x509.Certificate) { x.NotAfter = c.now().Add(1000 * time.Hour) })
	a := authenticator(t, app+"  - {name: all, certificate: {ca: "+fingerprint(ca.cert)+"}, may: [query]}\n", c, nil)
	bad := []*x509.Certificate{issue(t, other, nil).cert, ca.cert}
	kept := new(connection)
	_, first := kept.certified(a, bad)
	_, second := kept.certified(a, bad)
	if first == nil || first != second {
		t.Error("a bad chain was looked at twice")
	}
	c.advance(2 * time.Hour)
	if _, third := kept.certified(a, bad); third == nil || third == first {
		t.Error("a chain was not looked at again when its time had passed")
	}
	good := around([]*x509.Certificate{long.cert}, c.now())
	if !good.upto.Equal(c.now().Add(holdsFor)) || !good.since.Equal(long.cert.NotBefore) {
		t.Errorf("remembered from %s to %s", good.since, good.upto)
	}
	if (period{}).holds(time.Time{}) || (period{}).holds(c.now()) {
		t.Error("the zero period holds")
	}
}

// TestRememberedForEach: the box knows callers and operators by different policies,
// and what a connection's certificate was to the one it need not be to the other.
func TestRememberedForEach(t *testing.T) {
	c := newClock()
	ca, ops := issue(t, nil, authority), issue(t, nil, authority)
	chain := func(by *issuing) []*x509.Certificate {
		return []*x509.Certificate{issue(t, by, func(x *x509.Certificate) { x.Subject.CommonName = "bob" }).cert, by.cert}
	}
	callers := authenticator(t, app+"  - {name: all, certificate: {ca: "+fingerprint(ca.cert)+"}, may: [query]}\n", c, nil)
	operators := authenticator(t, app+"  - {name: oncall, certificate: {ca: "+fingerprint(ca.cert)+", subject: bob}, may: [query]}\n"+
		"  - {name: night, certificate: {ca: "+fingerprint(ops.cert)+"}, may: [query]}\n", c, nil)
	for _, tc := range []struct {
		chain           []*x509.Certificate
		caller, operate string
	}{{chain(ca), "all", "oncall"}, {chain(ops), "", "night"}} {
		kept := new(connection)
		for range 2 {
			who, _ := kept.certified(callers, tc.chain)
			op, _ := kept.certified(operators, tc.chain)
			if op == nil || op.Name != tc.operate || (who == nil) != (tc.caller == "") || who != nil && who.Name != tc.caller {
				t.Errorf("the caller is %v and the operator %v, expected %q and %q", who, op, tc.caller, tc.operate)
			}
		}
	}
}

// TestChainsThatCost: what would take long to verify is refused before it is.
func TestChainsThatCost(t *testing.T) {
	c := newClock()
	ca := issue(t, nil, authority)
	named := func(name string) func(*x509.Certificate) {
		return func(x *x509.Certificate) { authority(x); x.Subject.CommonName = name }
	}
	one, two, same := issue(t, ca, named("one")), issue(t, ca, named("two")), issue(t, ca, named("one"))
	leaf := issue(t, one, nil)
	wide := *two.cert
	wide.PublicKey = &ecdsa.PublicKey{Curve: elliptic.P521()}
	a := authenticator(t, app+"  - {name: all, certificate: {ca: "+fingerprint(ca.cert)+"}, may: [query]}\n", c, nil)
	for name, tc := range map[string]struct {
		chain []*issuing
		want  string
	}{
		"two names":           {[]*issuing{leaf, one, two, ca}, "all"},
		"the same twice":      {[]*issuing{leaf, one, one, ca}, "all"},
		"two of one name":     {[]*issuing{leaf, one, same, ca}, "two certificates of its chain have one name"},
		"a key that is large": {[]*issuing{leaf, one, {cert: &wide}, ca}, "has a key that is not"},
	} {
		r := &http.Request{Header: http.Header{}}
		with(tc.chain...)(r)
		if got := identify(a, r); !strings.Contains(got, tc.want) {
			t.Errorf("%s: %s, expected %s", name, got, tc.want)
		}
	}
	bits := func(n uint) *rsa.PublicKey { return &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), n-1)} }
	for _, tc := range []struct {
		key  any
		good bool
	}{
		{&ecdsa.PublicKey{Curve: elliptic.P256()}, true}, {&ecdsa.PublicKey{Curve: elliptic.P384()}, true},
		{&ecdsa.PublicKey{Curve: elliptic.P224()}, false}, {&ecdsa.PublicKey{Curve: elliptic.P521()}, false},
		{ed25519.PublicKey{}, true}, {nil, false},
		{bits(2047), false}, {bits(2048), true}, {bits(4096), true}, {bits(4097), false},
	} {
		if affordable(tc.key) != tc.good {
			t.Errorf("%T %v: affordable is %v", tc.key, tc.key, !tc.good)
		}
	}
}
