package judge

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/sim"
	"github.com/blindbox/blindbox/box/peers/wire"
)

var at = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

const document = "name: a\nmodels: [{name: m, builtin: m}]\n"

// caller is a box that asks to be let in, and what it is asked.
type caller struct {
	root      *sim.Root
	runs      sim.Box
	statement attest.Statement
	policy    string
	kind      attest.Kind // written over that of the evidence, if set
	question  func(*wire.Question)
}

// sharedRoot is made once: its keys take a second.
var sharedRoot = sync.OnceValues(func() (*sim.Root, error) { return sim.NewRoot(nil, at) })

func newCaller(t testing.TB) caller {
	t.Helper()
	root, err := sharedRoot()
	if err != nil {
		t.Fatal(err)
	}
	digest := policyDigest(document)
	return caller{
		root: root, policy: document, runs: sim.Box{Measurement: sim.Measure([]byte("a")), HostData: digest},
		statement: attest.Statement{
			Purpose: attest.PurposePeer, Role: attest.RoleClient, Nonce: [32]byte{1}, SPKI: attest.Digest{2}, Exporter: [32]byte{3},
			Policy: digest, NotBefore: at, NotAfter: at.Add(time.Minute),
		},
		question: func(*wire.Question) {},
	}
}

// asks makes the question about it.
func (c caller) asks(t testing.TB) wire.Question {
	t.Helper()
	attester, err := c.root.NewAttester(c.runs, func() time.Time { return at })
	if err != nil {
		t.Fatal(err)
	}
	bound, err := c.statement.Bind()
	if err != nil {
		t.Fatal(err)
	}
	ev, end, err := attester.Attest(context.Background(), bound)
	if err != nil {
		t.Fatal(err)
	}
	if c.kind != 0 {
		ev.Kind = c.kind
	}
	statement, err := c.statement.Encode()
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := attest.Bundle{Evidence: ev, Endorsements: end, Statement: statement, Policy: []byte(c.policy)}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	measured := sim.Measure([]byte("a"))
	q := wire.Question{At: at, Statement: statement, Bundle: bundle, References: []wire.Reference{
		{Kind: attest.SimSNP, Measurement: measured[:], Policy: policyDigest(document), Root: c.root.Fingerprint()},
	}}
	c.question(&q)
	return q
}

// TestAccepted: the first reference that fits counts, and it holds no longer than
// what it rests on.
func TestAccepted(t *testing.T) {
	c := newCaller(t)
	c.question = func(q *wire.Question) {
		good, other := q.References[0], q.References[0]
		other.Measurement = bytes.Repeat([]byte{9}, 48)
		hardware := wire.Reference{Kind: attest.SNP, Measurement: good.Measurement, Policy: good.Policy}
		q.References = []wire.Reference{hardware, other, good, good}
	}
	a := Judge(c.asks(t))
	if !a.Accepted || a.Reference != 2 || len(a.Failed) != 0 {
		t.Fatalf("%+v", a)
	}
	if a.Until.Before(at) || a.Until.After(at.AddDate(0, 2, 0)) {
		t.Errorf("until %s: the revocation list of the simulation is good for a month", a.Until)
	}
}

// TestRefused: each thing that can be wrong has its own answer.
func TestRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*caller)
		want   string
	}{
		"other measurement": {func(c *caller) { c.runs.Measurement = sim.Measure([]byte("b")) }, "code.measurement"},
		"debug":             {func(c *caller) { c.runs.Debug = true }, "hardware."},
		"outdated":          {func(c *caller) { c.runs.OldTCB = true }, "hardware."},
		"revoked":           {func(c *caller) { c.runs.Revoked = true }, "revoked"},
		"no list":           {func(c *caller) { c.runs.NoCRL = true }, "no_crl"},
		"bad signature":     {func(c *caller) { c.runs.BadSignature = true }, "bad_signature"},
		"other bytes":       {func(c *caller) { c.runs.OtherData = true }, "channel.bound"},
		"bound at launch":   {func(c *caller) { c.runs.HostData = [32]byte{7} }, "policy.launch"},
		"another document":  {func(c *caller) { c.policy = document + "#" }, "policy.statement"},
		"another root": {func(c *caller) {
			c.question = func(q *wire.Question) { q.References[0].Root[0] ^= 1 }
		}, "untrusted_root"},
		"another policy in the line": {func(c *caller) {
			c.question = func(q *wire.Question) { q.References[0].Policy[0] ^= 1 }
		}, "policy."},
		"a server":        {func(c *caller) { c.statement.Role = attest.RoleServer }, "role_mismatch"},
		"another purpose": {func(c *caller) { c.statement.Purpose, c.statement.Role = attest.PurposeSession, attest.RoleServer }, "purpose_mismatch"},
		"an HPKE key":     {func(c *caller) { c.statement.HPKE = attest.Digest{1} }, "channel.hpke_key"},
		"an old statement": {func(c *caller) {
			c.statement.NotBefore, c.statement.NotAfter = at.Add(-time.Hour), at.Add(-50*time.Minute)
		}, "stale_evidence"},
		"an hour later": {func(c *caller) { c.question = func(q *wire.Question) { q.At = at.Add(time.Hour) } }, "stale_evidence"},
		"years later":   {func(c *caller) { c.question = func(q *wire.Question) { q.At = at.AddDate(2, 0, 0) } }, "expired"},
		"another connection's": {func(c *caller) {
			c.question = func(q *wire.Question) {
				// Behind label, purpose, role, three hashes and their lengths.
				at := bytes.Index(q.Statement, append([]byte{3}, make([]byte, 31)...))
				q.Statement = bytes.Clone(q.Statement)
				q.Statement[at] ^= 1
			}
		}, "channel_mismatch"},
		"no statement":    {func(c *caller) { c.question = func(q *wire.Question) { q.Statement = []byte("x") } }, "channel.statement"},
		"no bundle":       {func(c *caller) { c.question = func(q *wire.Question) { q.Bundle = []byte("x") } }, "channel.bundle"},
		"called hardware": {func(c *caller) { c.kind = attest.SNP }, "peer.reference"},
		"called an SGX":   {func(c *caller) { c.kind = attest.SGX; c.question = hardware(attest.SGX, 32) }, "hardware."},
		"called a Nitro":  {func(c *caller) { c.kind = attest.Nitro; c.question = hardware(attest.Nitro, 48) }, "hardware."},
		"hardware's line": {func(c *caller) { c.kind = attest.SNP; c.question = hardware(attest.SNP, 48) }, "hardware."},
		"nothing for TDX": {func(c *caller) { c.kind = attest.TDX; c.question = hardware(attest.TDX, 48) }, "peer.reference"},
		"bad reference":   {func(c *caller) { c.question = func(q *wire.Question) { q.References[0].Measurement = []byte{1} } }, "hardware.evidence"},
		"no references":   {func(c *caller) { c.question = func(q *wire.Question) { q.References = nil } }, "peer.reference"},
		"of another's kind": {func(c *caller) {
			c.question = func(q *wire.Question) {
				q.References[0] = wire.Reference{Kind: attest.SNP, Measurement: q.References[0].Measurement, Policy: q.References[0].Policy}
			}
		}, "peer.reference"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCaller(t)
			tc.change(&c)
			a := Judge(c.asks(t))
			found := false
			for _, check := range a.Failed {
				found = found || strings.Contains(check.String(), tc.want)
			}
			if a.Accepted || a.Reference != 0 || !a.Until.IsZero() || !found {
				t.Errorf("%+v, expected %s", a, tc.want)
			}
		})
	}
}

// TestPartial: what was not looked at is why a caller is refused, by its name.
func TestPartial(t *testing.T) {
	skipped := attest.Check{Name: "hardware.revocation", Status: attest.Skip, Code: "no_crl", Seen: "no list"}
	a := refusal(refused(&appraise.PartialError{Skipped: []attest.Check{skipped}}))
	if a.Accepted || len(a.Failed) != 1 || a.Failed[0].Name != skipped.Name || a.Failed[0].Code != skipped.Code {
		t.Errorf("%+v", a)
	}
}

func hardware(kind attest.Kind, size int) func(*wire.Question) {
	return func(q *wire.Question) {
		q.References = []wire.Reference{{Kind: kind, Measurement: bytes.Repeat([]byte{1}, size), Policy: q.References[0].Policy}}
	}
}

// TestReferences: a line of the policy accepts one kind, and a trust file can be
// made of each that the box takes.
func TestReferences(t *testing.T) {
	for _, tc := range []struct {
		kind attest.Kind
		size int
		want []attest.Kind
	}{
		{attest.SNP, 48, []attest.Kind{attest.SNP}},
		{attest.SimSNP, 48, []attest.Kind{attest.SNP, attest.SimSNP}},
		{attest.SGX, 32, []attest.Kind{attest.SGX}},
		{attest.Nitro, 48, []attest.Kind{attest.Nitro}},
	} {
		ref := wire.Reference{Kind: tc.kind, Measurement: bytes.Repeat([]byte{1}, tc.size), Policy: attest.Digest{1}}
		if tc.kind.Simulated() {
			ref.Root = attest.Digest{2}
		}
		trust, err := trustIn(ref)
		if err != nil {
			t.Errorf("%s: %v", tc.kind, err)
			continue
		}
		if got := trust.Kinds(); !slices.Equal(got, tc.want) || trust.GPUs() || trust.ClockSkew() != wire.Skew {
			t.Errorf("%s: kinds %v, skew %s", tc.kind, got, trust.ClockSkew())
		}
		if root, ok := trust.SimulatedRoot(); ok != tc.kind.Simulated() || root != ref.Root {
			t.Errorf("%s: simulated root %s, %v", tc.kind, root, ok)
		}
		if v, err := verifierFor(ref); err != nil || v.Kind() != tc.kind {
			t.Errorf("%s: verifier %v, %v", tc.kind, v, err)
		}
	}
}

// TestServe: ready, one question, one answer, and no second.
func TestServe(t *testing.T) {
	var in, out bytes.Buffer
	if err := wire.WriteQuestion(&in, newCaller(t).asks(t)); err != nil {
		t.Fatal(err)
	}
	in.WriteString("more")
	if err := Serve(&in, &out); err != nil {
		t.Fatal(err)
	}
	if err := wire.ReadReady(&out); err != nil {
		t.Fatal(err)
	}
	if a, err := wire.ReadAnswer(&out, 1); err != nil || !a.Accepted {
		t.Errorf("%+v, %v", a, err)
	}
	if in.String() != "more" || out.Len() != 0 {
		t.Errorf("%q left, %d bytes more said", in.String(), out.Len())
	}
	if Serve(strings.NewReader("x"), io.Discard) == nil {
		t.Error("answered what is no question")
	}
	nobody := &counting{}
	if Serve(nobody, brokenPipe{}) == nil || nobody.asked {
		t.Error("asked for a question although nobody hears it")
	}
	if Serve(&in, brokenPipe{}) == nil {
		t.Error("went on although nobody hears it")
	}
}

type counting struct{ asked bool }

func (c *counting) Read([]byte) (int, error) { c.asked = true; return 0, io.EOF }

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// FuzzJudge: whatever a stranger shows, there is an answer that can be sent, and
// what was not made by the accepted box is not accepted.
func FuzzJudge(f *testing.F) {
	q := newCaller(f).asks(f)
	f.Add(q.Bundle)
	f.Add(q.Bundle[:len(q.Bundle)/2])
	f.Add([]byte("BBXBNDL1"))
	f.Fuzz(func(t *testing.T, bundle []byte) {
		asked := q
		asked.Bundle = bundle
		a := Judge(asked)
		if a.Accepted && !bytes.Equal(bundle, q.Bundle) {
			// Endorsements may stand in another order, and some may be missing that
			// nobody needs. What the hardware signed is the same.
			got, err := attest.ParseBundle(bundle)
			want, _ := attest.ParseBundle(q.Bundle)
			if err != nil || !bytes.Equal(got.Statement, want.Statement) || !bytes.Equal(got.Policy, want.Policy) {
				t.Fatal("another caller was accepted")
			}
		}
		if err := wire.WriteAnswer(io.Discard, a); err != nil {
			t.Fatal(err)
		}
	})
}

func policyDigest(doc string) attest.Digest { return sha256.Sum256([]byte(doc)) }
