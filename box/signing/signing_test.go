package signing_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/box/signing"
	"github.com/blindbox/blindbox/receipt"
)

// hardware gives evidence of what it was asked for.
type hardware struct {
	err   error
	kind  attest.Kind // of the evidence, SimSNP if invalid
	empty bool        // the evidence has no bytes
	seen  []attest.Bound
}

func (h *hardware) Kind() attest.Kind { return attest.SimSNP }

func (h *hardware) Attest(_ context.Context, b attest.Bound) (attest.Evidence, attest.Endorsements, error) {
	h.seen = append(h.seen, b)
	if h.err != nil {
		return attest.Evidence{}, nil, h.err
	}
	if h.empty {
		return attest.Evidence{Kind: attest.SimSNP}, nil, nil
	}
	sum := b.Bytes()
	return attest.Evidence{Kind: max(h.kind, attest.SimSNP), Data: sum[:]}, nil, nil
}

// nobody is an attester of no kind.
type nobody struct{ hardware }

func (*nobody) Kind() attest.Kind { return attest.KindInvalid }

func clock() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 500, time.UTC) }

// TestKey: what the hardware signed names the key, for its purpose and its life.
func TestKey(t *testing.T) {
	hw := &hardware{}
	doc := []byte("name: a\n")
	k, err := signing.New(t.Context(), signing.Config{Attester: hw, Policy: doc, Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	b, err := attest.ParseBundle(k.Bundle())
	if err != nil {
		t.Fatal(err)
	}
	s, err := attest.ParseStatement(b.Statement)
	if err != nil {
		t.Fatal(err)
	}
	begin := clock().Truncate(time.Second)
	if s.Purpose != attest.PurposeKeys || s.Role != attest.RoleServer || s.SPKI != k.Signer().KeyID() || s.Policy != sha256.Sum256(doc) ||
		!s.NotBefore.Equal(begin) || !s.NotAfter.Equal(begin.Add(signing.DefaultLife)) || !k.Until().Equal(s.NotAfter) {
		t.Errorf("statement %+v", s)
	}
	if bound, _ := s.Bind(); len(hw.seen) != 1 || hw.seen[0] != bound || string(b.Policy) != string(doc) {
		t.Error("the hardware was asked for something else")
	}
	box := k.Box()
	if box.Policy != receipt.Digest(s.Policy) || box.Evidence != sha256.Sum256(b.Evidence.Data) || box.Kind != "sim-sev-snp" || !box.Simulated || len(box.Boot) != 32 {
		t.Errorf("box %+v", box)
	}
	again, err := signing.New(t.Context(), signing.Config{Attester: hw, Policy: doc, Now: clock, Boot: box.Boot, Life: time.Hour})
	if err != nil || again.Box().Boot != box.Boot || !again.Until().Equal(begin.Add(time.Hour)) {
		t.Errorf("renewed: %v", err)
	}
	if again.Signer().KeyID() == k.Signer().KeyID() || hw.seen[0] == hw.seen[1] {
		t.Error("two keys are one")
	}
	first := k.Bundle()
	first[0]++
	if k.Bundle()[0] == first[0] {
		t.Error("the bundle can be changed from outside")
	}
}

func TestRefused(t *testing.T) {
	good := signing.Config{Attester: &hardware{}, Policy: []byte("p"), Now: clock}
	for name, c := range map[string]struct {
		change func(*signing.Config)
		says   string
		gone   bool
	}{
		"no attester":   {func(c *signing.Config) { c.Attester = nil }, "no attester", false},
		"no kind":       {func(c *signing.Config) { c.Attester = &nobody{} }, "no attester", false},
		"no clock":      {func(c *signing.Config) { c.Now = nil }, "no clock", false},
		"negative life": {func(c *signing.Config) { c.Life = -1 }, "a life of", false},
		"no policy":     {func(c *signing.Config) { c.Policy = nil }, "policy", false},
		"no evidence":   {func(c *signing.Config) { c.Attester = &hardware{err: errors.New("asleep")} }, "asleep", true},
		"nothing in it": {func(c *signing.Config) { c.Attester = &hardware{empty: true} }, "gave 0 bytes", true},
		"other kind":    {func(c *signing.Config) { c.Attester = &hardware{kind: attest.TDX} }, "kind tdx", true},
		"no time":       {func(c *signing.Config) { c.Now = func() time.Time { return time.Time{} } }, "validity", false},
	} {
		cfg := good
		c.change(&cfg)
		k, err := signing.New(t.Context(), cfg)
		if k != nil || err == nil || !strings.Contains(err.Error(), c.says) || errors.Is(err, attest.ErrUnavailable) != c.gone {
			t.Errorf("%s: %v", name, err)
		}
	}
}
