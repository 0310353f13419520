package box

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/launch"
)

// altered is honest hardware, whose reports somebody changes from when on he says so.
type altered struct {
	signer
	on     atomic.Bool
	change func(report []byte) []byte
}

func (a *altered) Attest(ctx context.Context, b attest.Bound) (attest.Evidence, attest.Endorsements, error) {
	ev, end, err := a.signer.Attest(ctx, b)
	if err == nil && a.on.Load() {
		ev.Data = a.change(ev.Data)
	}
	return ev, end, err
}

// flip changes one bit of a report.
func flip(at int) func([]byte) []byte {
	return func(report []byte) []byte {
		report[at] ^= 1
		return report
	}
}

// alterations are of the legs that evidence has; TestMayOpen has the third.
var alterations = []struct {
	name   string
	change func([]byte) []byte
	other  bool // it is of another box, rather than of no use
	want   string
}{
	{"what was bound at launch", flip(192 + 31), true, "HOST_DATA of sim-sev-snp is "},
	{"what was signed", flip(80), true, "sim-sev-snp signed "},
	{"its length", func(r []byte) []byte { return r[:len(r)-1] }, false, "a report of 1183 bytes, expected 1184"},
}

// TestChangedEvidence: with one bit of its evidence changed a box starts no app, makes no
// record and serves nobody.
func TestChangedEvidence(t *testing.T) {
	for _, c := range alterations {
		t.Run(c.name, func(t *testing.T) {
			p, l, events := parsed(t, self(t, "quiet", "")), listen(t), &events{}
			a := &altered{signer: launched(p), change: c.change}
			a.on.Store(true)
			b, err := New(Config{Simulation: true, Policy: p, Attester: a, Listener: l, Log: events.add})
			if err != nil {
				t.Fatal(err)
			}
			err = b.Serve(t.Context())
			if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, launch.ErrOther) != c.other || errors.Is(err, attest.ErrUnavailable) == c.other {
				t.Errorf("got %v, expected %s", err, c.want)
			}
			select {
			case <-b.Ready():
				t.Error("the door was opened")
			default:
			}
			if _, err := net.Dial("tcp", l.Addr().String()); err == nil {
				t.Error("the listener is open")
			}
			if names := events.names(); len(names) != 1 || names[0] != Starting {
				t.Errorf("events %v", names)
			}
		})
	}
}

// misnamed is simulated hardware whose evidence is called real.
type misnamed struct{ signer }

func (m misnamed) Attest(ctx context.Context, b attest.Bound) (attest.Evidence, attest.Endorsements, error) {
	ev, end, err := m.signer.Attest(ctx, b)
	ev.Kind = attest.SNP
	return ev, end, err
}

// TestOtherKind: evidence that is called another kind than the hardware's is none.
func TestOtherKind(t *testing.T) {
	p := parsed(t, self(t, "quiet", ""))
	d := closeDoor(misnamed{launched(p)}, p)
	s := attest.Statement{
		Purpose: attest.PurposeSession, Role: attest.RoleServer, Nonce: [32]byte{1}, SPKI: attest.Digest{2}, Exporter: [32]byte{3},
		Policy: p.Digest(), NotBefore: time.Unix(1, 0), NotAfter: time.Unix(2, 0),
	}
	bound, err := s.Bind()
	if err != nil {
		t.Fatal(err)
	}
	ev, _, err := d.Attest(t.Context(), bound)
	if !errors.Is(err, attest.ErrUnavailable) || !strings.Contains(err.Error(), "the attester of kind sim-sev-snp gave 1184 bytes of kind sev-snp") || ev.Data != nil {
		t.Errorf("%v, %v", ev, err)
	}
}

// TestOtherPolicyAtLaunch: a byte of the policy is changed after the launch.
func TestOtherPolicyAtLaunch(t *testing.T) {
	doc := self(t, "quiet", "")
	b, err := New(Config{Simulation: true, Policy: parsed(t, doc+"#"), Attester: launched(parsed(t, doc)), Listener: listen(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Serve(t.Context()); !errors.Is(err, launch.ErrOther) || !strings.Contains(err.Error(), "expected "+parsedDigest(doc+"#")) {
		t.Errorf("got %v", err)
	}
}

func parsedDigest(doc string) string { return attest.Digest(sha256.Sum256([]byte(doc))).String() }

// TestClosesLater: evidence that differs, when the box serves already, is shown to
// nobody and ends the box, streams and all. Evidence that cannot be read is only not
// shown.
func TestClosesLater(t *testing.T) {
	for _, c := range alterations {
		t.Run(c.name, func(t *testing.T) {
			p := parsed(t, self(t, "quiet", ""))
			a := &altered{signer: launched(p), change: c.change}
			b := serve(t, Config{Policy: p, Attester: a})
			hanging, err := b.client(t, "h2").Do(request(t, "GET", "/hang", nil))
			if err != nil {
				t.Fatal(err)
			}
			defer hanging.Body.Close()
			a.on.Store(true)
			if resp, err := b.client(t, "h2").Do(request(t, "GET", "/caller", nil)); err == nil {
				t.Errorf("a caller was answered %s", resp.Status)
			}
			if !c.other {
				a.on.Store(false)
				if resp, text := do(t, b.client(t, "h2"), request(t, "GET", "/caller", nil)); resp.StatusCode != http.StatusOK {
					t.Errorf("after it could be read: %s %s", resp.Status, text)
				}
				return
			}
			err = <-b.done
			b.done <- nil
			if !errors.Is(err, launch.ErrOther) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the box ended with %v", err)
			}
			if _, err := io.ReadAll(hanging.Body); err == nil {
				t.Error("a stream ended without an error")
			}
			if _, err := net.Dial("tcp", b.addr); err == nil {
				t.Error("connections are still taken")
			}
			network, address := p.App.Address()
			if _, err := net.Dial(network, address); err == nil {
				t.Error("the app is still there")
			}
		})
	}
}

// TestMayOpen: of launch, statement and loaded policy each one alone is changed.
func TestMayOpen(t *testing.T) {
	doc := self(t, "quiet", "")
	p := parsed(t, doc)
	b := serve(t, Config{Policy: p})
	good := b.records.key.Load().Bundle()
	if err := mayOpen(good, p.Bytes()); err != nil {
		t.Fatal(err)
	}
	edit := func(change func(*attest.Bundle)) []byte {
		bundle, err := attest.ParseBundle(good)
		if err != nil {
			t.Fatal(err)
		}
		bundle.Evidence.Data, bundle.Statement = append([]byte(nil), bundle.Evidence.Data...), append([]byte(nil), bundle.Statement...)
		change(&bundle)
		data, err := bundle.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	// A statement of another policy, signed as such.
	restated := edit(func(bundle *attest.Bundle) {
		s, err := attest.ParseStatement(bundle.Statement)
		if err != nil {
			t.Fatal(err)
		}
		s.Policy[0] ^= 1
		bound, err := s.Bind()
		if err != nil {
			t.Fatal(err)
		}
		sum := bound.Bytes()
		copy(bundle.Evidence.Data[80:], sum[:])
		if bundle.Statement, err = s.Encode(); err != nil {
			t.Fatal(err)
		}
	})
	for _, c := range []struct {
		name           string
		bundle, loaded []byte
		want           []string
	}{
		{"the launch", edit(func(b *attest.Bundle) { b.Evidence.Data[192] ^= 1 }), p.Bytes(), []string{"HOST_DATA of"}},
		{"the statement", restated, p.Bytes(), []string{"the statement names the policy"}},
		{"what was loaded", good, []byte(doc + " "), []string{"the statement names the policy", "HOST_DATA of"}},
		{"what was signed", edit(func(b *attest.Bundle) { b.Evidence.Data[80] ^= 1 }), p.Bytes(), []string{"signed "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := mayOpen(c.bundle, c.loaded)
			if !errors.Is(err, launch.ErrOther) {
				t.Fatalf("got %v", err)
			}
			for _, want := range []string{"HOST_DATA of", "the statement names the policy", "signed "} {
				expected := false
				for _, w := range c.want {
					expected = expected || w == want
				}
				if strings.Contains(err.Error(), want) != expected {
					t.Errorf("got %v, expected %q", err, c.want)
				}
			}
		})
	}
	if err := mayOpen(good[1:], p.Bytes()); err == nil {
		t.Error("half a bundle")
	}
}
