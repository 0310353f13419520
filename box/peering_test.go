package box

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/blindbox/blindbox/atls"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/sim"
	"github.com/blindbox/blindbox/box/ingress"
	"github.com/blindbox/blindbox/box/peers"
	"github.com/blindbox/blindbox/examples/tumour"
	"github.com/blindbox/blindbox/policy"
)

// boxverify builds the program as it goes into an image.
func boxverify(t testing.TB) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "boxverify")
	cmd := exec.Command("go", "build", "-trimpath", "-o", bin, "../cmd/boxverify")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	// The account of the verifier has to get at it.
	for dir := bin; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		os.Chmod(dir, 0o755)
	}
	return bin
}

// TestPeers runs two boxes: one that calls, and one that has its evidence judged by
// the program that is in an image.
func TestPeers(t *testing.T) {
	v := &peers.Verifier{Program: boxverify(t), Apart: os.Geteuid() == 0, Limit: patience}
	for name, test := range map[string]func(*testing.T, *peers.Verifier){
		"known": testPeersKnown, "refused": testPeersRefused, "relayed": testPeersRelayed, "many": testManyPeers, "verifier gone": testVerifierGone, "ended": testPeersEnd,
	} {
		t.Run(name, func(t *testing.T) { test(t, v) })
	}
}

// otherBox is a box that calls: a simulated machine and its policy.
type otherBox struct {
	root   *sim.Root
	policy *policy.Policy
	runs   sim.Box
}

func newOtherBox(t testing.TB, root *sim.Root) otherBox {
	t.Helper()
	p := parsed(t, "name: a\nmodels: [{name: m, builtin: m}]\n")
	return otherBox{root, p, sim.Box{Measurement: sim.Measure([]byte("box a")), HostData: p.Digest()}}
}

func (o otherBox) with(change func(*otherBox)) otherBox {
	change(&o)
	return o
}

func simRoot(t testing.TB) *sim.Root {
	t.Helper()
	root, err := sim.NewRoot(nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// line is what a policy says of it.
func (o otherBox) line(name, may string) string {
	return fmt.Sprintf("  - {name: %s, attested: {kind: sim-sev-snp, measurement: %q, policy: sha256:%x, simulated_root: \"sha256:%s\"}, %s}\n",
		name, fmt.Sprintf("%x", o.runs.Measurement), o.policy.Digest(), o.root.Fingerprint(), may)
}

func (o otherBox) attester(t testing.TB) attest.Attester {
	t.Helper()
	a, err := o.root.NewAttester(o.runs, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// caller is a client of box b that attests by identity, or does not.
func (r *running) caller(t testing.TB, proto string, identity *atls.Identity) *http.Client {
	t.Helper()
	c, err := atls.NewClient(atls.ClientConfig{
		Kinds: []attest.Kind{attest.SimSNP}, NextProtos: []string{proto}, Skew: time.Minute, Identity: identity,
		Check: func(context.Context, atls.Presented) (any, error) { return true, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{
		DialTLSContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return c.DialContext(ctx, network, r.addr)
		},
		ForceAttemptHTTP2: proto == "h2", DisableCompression: true, MaxIdleConnsPerHost: 100,
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func (o otherBox) identity(t testing.TB) *atls.Identity {
	t.Helper()
	return &atls.Identity{Attester: o.attester(t), Policy: o.policy.Bytes()}
}

// testPeersKnown: a box is a caller by what runs in it, and by nothing else.
func testPeersKnown(t *testing.T, v *peers.Verifier) {
	root := simRoot(t)
	a := newOtherBox(t, root)
	b2 := a.with(func(o *otherBox) { o.runs.Measurement = sim.Measure([]byte("box of another kind")) })
	more := a.line("scribe", "may: [query], paths: [/caller], rate: 1000/min") + b2.line("clerk", "may: [query], paths: [/echo]") +
		"  - {anyone: true, may: [query], paths: [/echo]}\n"
	decided := make(chan ingress.Decision, 1000)
	box := serve(t, Config{
		Policy: parsed(t, self(t, "talk", more)), Verifier: v,
		Decided: func(d ingress.Decision) { decided <- d },
	})
	for _, proto := range []string{"http/1.1", "h2"} {
		peer, stranger := box.caller(t, proto, a.identity(t)), box.caller(t, proto, nil)
		for _, tc := range []struct {
			name, path, auth string
			client           *http.Client
			want             string
		}{
			{"the box", "/caller", "", peer, "200 scribe"},
			{"the box, where it may not", "/echo", "", peer, "403"},
			{"the box, with a key", "/caller", "Bearer " + clinicKey, peer, "200 clinic"},
			{"another line's box", "/caller", "", box.caller(t, proto, b2.identity(t)), "403"},
			{"no evidence", "/caller", "", stranger, "403"},
			{"no evidence, with a key", "/caller", "Bearer " + clinicKey, stranger, "200 clinic"},
		} {
			resp, text := do(t, tc.client, request(t, "GET", tc.path, nil, "Authorization", tc.auth))
			got := fmt.Sprint(resp.StatusCode, " ", text)
			if got != tc.want && !(len(tc.want) == 3 && strings.HasPrefix(got, tc.want)) {
				t.Errorf("%s %s: %.300s, expected %s", proto, tc.name, got, tc.want)
			}
			if d := <-decided; d.Allowed && "200 "+d.Caller != tc.want {
				t.Errorf("%s %s: told %+v", proto, tc.name, d)
			}
		}
		_, text := do(t, peer, request(t, "GET", "/.well-known/blindbox/me", nil, "Authorization", ""))
		var me struct{ Caller, Kind, Text string }
		if err := json.Unmarshal([]byte(text), &me); err != nil || me.Caller != "scribe" || me.Kind != "attested" || !strings.Contains(me.Text, "A SIMULATED BOX") {
			t.Errorf("%s me: %s (%v)", proto, text, err)
		}
		<-decided
	}
}

// untouched counts what reached the box's handler.
type untouched struct {
	mu sync.Mutex
	n  int
}

func (u *untouched) add(ingress.Decision) { u.mu.Lock(); u.n++; u.mu.Unlock() }

// testPeersRefused: whoever shows evidence that is not accepted gets no connection,
// although the policy has anyone, and nothing of a request is read.
func testPeersRefused(t *testing.T, v *peers.Verifier) {
	root := simRoot(t)
	a := newOtherBox(t, root)
	other := parsed(t, "name: b\nmodels: [{name: m, builtin: m}]\n")
	var seen untouched
	box := serve(t, Config{
		Policy:   parsed(t, self(t, "talk", a.line("scribe", "may: [query]")+"  - {anyone: true, may: [query]}\n")),
		Verifier: v, Decided: seen.add,
	})
	fault := func(change func(*sim.Box)) otherBox {
		return a.with(func(o *otherBox) { change(&o.runs) })
	}
	for name, tc := range map[string]struct {
		caller otherBox
		want   string
	}{
		"other measurement":         {fault(func(b *sim.Box) { b.Measurement = sim.Measure([]byte("x")) }), "code.measurement"},
		"other policy":              {a.with(func(o *otherBox) { o.policy, o.runs.HostData = other, other.Digest() }), "peer.caller"},
		"policy not bound":          {fault(func(b *sim.Box) { b.HostData = other.Digest() }), "policy.launch"},
		"debug":                     {fault(func(b *sim.Box) { b.Debug = true }), "debug"},
		"outdated firmware":         {fault(func(b *sim.Box) { b.OldTCB = true }), "tcb"},
		"expired certificate":       {fault(func(b *sim.Box) { b.Expired = true }), "expired"},
		"revoked":                   {fault(func(b *sim.Box) { b.Revoked = true }), "revoked"},
		"old revocation list":       {fault(func(b *sim.Box) { b.StaleCRL = true }), "stale_crl"},
		"no revocation list":        {fault(func(b *sim.Box) { b.NoCRL = true }), "no_crl"},
		"no certificate":            {fault(func(b *sim.Box) { b.VendorDown = true }), "hardware"},
		"a lower privilege level":   {fault(func(b *sim.Box) { b.VMPL = 2 }), "vmpl"},
		"a migration agent":         {fault(func(b *sim.Box) { b.MigrationAgent = true }), "migrat"},
		"bad signature":             {fault(func(b *sim.Box) { b.BadSignature = true }), "bad_signature"},
		"evidence over other bytes": {fault(func(b *sim.Box) { b.OtherData = true }), "not_bound"},
		"another simulated root":    {a.with(func(o *otherBox) { o.root = simRoot(t) }), "untrusted_root"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := box.caller(t, "http/1.1", tc.caller.identity(t)).Do(request(t, "GET", "/caller", nil, "Authorization", "Bearer "+clinicKey))
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "the box refused") && !errors.Is(err, attest.ErrUnavailable) {
				t.Errorf("%v, expected %s", err, tc.want)
			}
		})
	}
	if seen.n != 0 {
		t.Errorf("%d requests were decided about", seen.n)
	}
}

// relay attests with what some other device made.
type relay struct {
	attest.Attester
	shown func(attest.Bound) (attest.Evidence, attest.Endorsements, error)
}

func (r relay) Attest(_ context.Context, b attest.Bound) (attest.Evidence, attest.Endorsements, error) {
	return r.shown(b)
}

// testPeersRelayed: genuine evidence of the very box that is accepted is of no use
// on any connection but the one it was made for, nor a second time, nor if that box
// made it as somebody's server.
func testPeersRelayed(t *testing.T, v *peers.Verifier) {
	a := newOtherBox(t, simRoot(t))
	box := serve(t, Config{
		Policy:   parsed(t, self(t, "talk", a.line("scribe", "may: [query]"))),
		Verifier: v,
	})
	genuine := a.attester(t)
	// What the genuine box signed on a connection of its own, which went well.
	var mu sync.Mutex
	var evidence attest.Evidence
	var endorsements attest.Endorsements
	keep := relay{genuine, func(b attest.Bound) (attest.Evidence, attest.Endorsements, error) {
		ev, end, err := genuine.Attest(context.Background(), b)
		mu.Lock()
		defer mu.Unlock()
		evidence, endorsements = ev, end
		return ev, end, err
	}}
	if resp, text := do(t, box.caller(t, "h2", &atls.Identity{Attester: keep, Policy: a.policy.Bytes()}), request(t, "GET", "/caller", nil, "Authorization", "")); text != "scribe" {
		t.Fatalf("the genuine box: %d %s", resp.StatusCode, text)
	}
	replayed := relay{genuine, func(attest.Bound) (attest.Evidence, attest.Endorsements, error) {
		mu.Lock()
		defer mu.Unlock()
		return evidence, endorsements, nil
	}}
	// The genuine box is asked by a relay, as by any client, and answers as a server.
	ln := listen(t)
	serve(t, Config{Policy: a.policy, Builtin: map[string][]byte{"m": tumour.Model()}, Listener: ln, Attester: genuine})
	asServer := relay{genuine, func(attest.Bound) (attest.Evidence, attest.Endorsements, error) {
		var got attest.Bundle
		c, err := atls.NewClient(atls.ClientConfig{
			Kinds: []attest.Kind{attest.SimSNP}, Skew: time.Minute,
			Check: func(_ context.Context, p atls.Presented) (any, error) { got = p.Bundle; return true, nil },
		})
		if err != nil {
			return attest.Evidence{}, nil, err
		}
		conn, err := c.DialContext(context.Background(), "tcp", ln.Addr().String())
		if err != nil {
			return attest.Evidence{}, nil, err
		}
		conn.Close()
		return got.Evidence, got.Endorsements, nil
	}}
	for name, attester := range map[string]attest.Attester{"replayed": replayed, "as a server": asServer} {
		_, err := box.caller(t, "h2", &atls.Identity{Attester: attester, Policy: a.policy.Bytes()}).Do(request(t, "GET", "/caller", nil, "Authorization", ""))
		if err == nil || !strings.Contains(err.Error(), "not_bound") {
			t.Errorf("%s: %v, expected not_bound", name, err)
		}
	}
}

// testPeersEnd: no process waits for a caller when the box has ended.
func testPeersEnd(t *testing.T, v *peers.Verifier) {
	a := newOtherBox(t, simRoot(t))
	box := serve(t, Config{Policy: parsed(t, self(t, "talk", a.line("scribe", "may: [query]"))), Verifier: v})
	box.stop()
	box.done <- <-box.done
	if err := box.peers.Start(); err == nil {
		t.Error("a verifier waits for callers of a box that has ended")
	}
}

// testVerifierGone: without its verifier the box takes no other box for a caller,
// and everybody else is served.
func testVerifierGone(t *testing.T, v *peers.Verifier) {
	mine := *v
	mine.Program = v.Program + "-once"
	if err := os.Link(v.Program, mine.Program); err != nil {
		t.Fatal(err)
	}
	a := newOtherBox(t, simRoot(t))
	box := serve(t, Config{Policy: parsed(t, self(t, "talk", a.line("scribe", "may: [query]"))), Verifier: &mine})
	if err := os.Remove(mine.Program); err != nil {
		t.Fatal(err)
	}
	// One was started with the box.
	if _, text := do(t, box.caller(t, "h2", a.identity(t)), request(t, "GET", "/caller", nil, "Authorization", "")); text != "scribe" {
		t.Errorf("got %s", text)
	}
	for range 2 {
		_, err := box.caller(t, "h2", a.identity(t)).Do(request(t, "GET", "/caller", nil, "Authorization", "Bearer "+clinicKey))
		if !errors.Is(err, attest.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	}
	if resp, text := do(t, box.caller(t, "h2", nil), request(t, "GET", "/caller", nil)); text != "clinic" {
		t.Errorf("a caller with a key: %d %s", resp.StatusCode, text)
	}
	box.events.mu.Lock()
	defer box.events.mu.Unlock()
	told := 0
	for _, e := range box.events.list {
		if e.Name == Peering {
			told++
		}
	}
	if told == 0 {
		t.Error("the operator is not told")
	}
}

// TestVerifierMissing: a box whose policy needs a verifier ends at its start if that
// does not start.
func TestVerifierMissing(t *testing.T) {
	a := newOtherBox(t, simRoot(t))
	p := parsed(t, self(t, "talk", a.line("scribe", "may: [query]")))
	for _, program := range []string{"/nonexistent/boxverify", "/bin/false", "/bin/cat"} {
		b, err := New(Config{Simulation: true, Policy: p, Attester: launched(p), Listener: listen(t), Verifier: &peers.Verifier{Program: program, Limit: time.Second}})
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Serve(t.Context()); err == nil || !strings.Contains(err.Error(), "the program that judges other boxes does not start") {
			t.Errorf("%s: %v", program, err)
		}
	}
}

// TestPeersNotAsked: a box that has no callers which are boxes asks nobody for
// evidence, and one that insists on showing some is told so.
func TestPeersNotAsked(t *testing.T) {
	box := serve(t, Config{Policy: parsed(t, self(t, "talk", ""))})
	if resp, _ := do(t, box.caller(t, "h2", nil), request(t, "GET", "/caller", nil)); resp.StatusCode != 200 {
		t.Errorf("a client that does not attest: %d", resp.StatusCode)
	}
	_, err := box.caller(t, "h2", newOtherBox(t, simRoot(t)).identity(t)).Do(request(t, "GET", "/caller", nil))
	if err == nil || !strings.Contains(err.Error(), "takes no evidence from callers") {
		t.Errorf("a client that attests: %v", err)
	}
}

// TestPeersNeedVerifier: a policy with other boxes does not start where nobody could
// judge them, nor with a kind whose code one measurement does not name.
func TestPeersNeedVerifier(t *testing.T) {
	const app = "name: a\napp: {command: [/bin/true], listen: 127.0.0.1:1}\ncallers:\n"
	hash := "sha256:" + strings.Repeat("ab", 32)
	line := func(kind string, size int) string {
		return fmt.Sprintf("  - {name: %s, attested: {kind: %s, measurement: %q, policy: %s}, may: [query]}\n", kind, kind, strings.Repeat("ab", size), hash)
	}
	for name, tc := range map[string]struct {
		doc      string
		verifier *peers.Verifier
		want     string
	}{
		"no verifier":      {app + line("sgx", 32), nil, `caller "sgx" (line 4) is another box, and there is no program that judges its evidence`},
		"no program":       {app + line("nitro", 48), &peers.Verifier{}, "no program that judges"},
		"firmware alone":   {app + line("tdx", 48), &peers.Verifier{Program: "/x"}, `(line 4) cannot be recognised: peers: one measurement does not say what runs on tdx`},
		"a register alone": {app + line("sev-snp", 48) + line("tpm", 32), &peers.Verifier{Program: "/x"}, "what runs on tpm"},
		"all is well":      {app + line("sev-snp", 48), &peers.Verifier{Program: "/x"}, ""},
	} {
		p := parsed(t, tc.doc)
		_, err := New(Config{Simulation: true, Policy: p, Attester: launched(p), Listener: listen(t), Verifier: tc.verifier})
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: %v, expected %q", name, err, tc.want)
		}
	}
}

// testManyPeers: a hundred boxes, each on a connection of its own, and more at once
// than are judged at a time. All of them at once would be a matter of what a machine
// does within the gate's ten seconds.
func testManyPeers(t *testing.T, v *peers.Verifier) {
	a := newOtherBox(t, simRoot(t))
	box := serve(t, Config{
		Policy:   parsed(t, self(t, "talk", a.line("scribe", "may: [query]"))+"limits: {concurrent: 200}\n"),
		Verifier: v,
	})
	identity := a.identity(t)
	atOnce := make(chan struct{}, 10)
	var wg sync.WaitGroup
	for range 100 {
		c, req := box.caller(t, "http/1.1", identity), request(t, "POST", "/echo", bytes.NewReader([]byte("hello")), "Authorization", "")
		atOnce <- struct{}{}
		wg.Go(func() {
			defer func() { <-atOnce }()
			resp, err := c.Do(req)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			if resp.StatusCode != 200 {
				t.Error(resp.Status)
			}
		})
	}
	wg.Wait()
}
