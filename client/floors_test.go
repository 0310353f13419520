package client_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"testing"

	"github.com/blindbox/blindbox/atls"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/snp"
	"github.com/blindbox/blindbox/client"
	"github.com/blindbox/blindbox/endorse"
	"github.com/blindbox/blindbox/endorse/cache"
)

// listing is the hardware of a machine that staples the root's revocation list
// of a number. Each list withdraws another certificate.
type listing struct{ number int64 }

func (l *listing) Kind() attest.Kind { return attest.SNP }

func (l *listing) Attest(ctx context.Context, b attest.Bound) (attest.Evidence, attest.Endorsements, error) {
	numbered := attesttest.ARKCRL(func(c *attesttest.CRL) {
		c.Number = big.NewInt(l.number)
		c.Edit = func(list *x509.RevocationList) {
			list.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: big.NewInt(1e6 + l.number), RevocationTime: list.ThisUpdate}}
		}
	})
	return attesttest.New().Attester(attesttest.At(newClock().now()), attesttest.HostData(goodBox().HostData), numbered).Attest(ctx, b)
}

// fakeAMD trusts the fake vendor's root.
func fakeAMD(t *testing.T) attest.Verifier {
	t.Helper()
	roots := attesttest.New().Roots(t, attesttest.Genoa)
	v, err := snp.NewVerifierWithRoots(attest.SNP, snp.Root{Product: snp.Genoa, ARK: roots.ARK.Raw, ASK: roots.ASK.Raw, ASVK: roots.ASVK.Raw})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// numberedBox is a box whose vendor is the fake one.
func numberedBox(t *testing.T, opts ...client.Option) (*box, *listing, *client.Client) {
	t.Helper()
	hardware := &listing{number: 9}
	b := newBox(t, boxConfig{server: func(s *atls.ServerConfig) { s.Attester = hardware }})
	c := newClient(t, b, parse(t, fmt.Sprintf(`version: 1
accept: [{name: v1, sev-snp: {measurement: %x}, policy: sha256:%x}]
max_age: 0s
`, attesttest.Measurement(), goodBox().HostData)), opts...)
	c.UseVerifier(fakeAMD(t))
	return b, hardware, c
}

func TestFloors(t *testing.T) {
	dir, err := cache.Open(t.TempDir(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	b, hardware, c := numberedBox(t, client.WithFloors(dir))
	ask := func(number int64) error {
		hardware.number = number
		_, _, err := c.Verify(context.Background(), b.url())
		return err
	}
	for _, number := range []int64{9, 9, 10} {
		if err := ask(number); err != nil {
			t.Fatalf("list %d: %v", number, err)
		}
	}
	var refused *client.RefusedError
	if err := ask(9); !errors.As(err, &refused) || refused.Failure.Code() != endorse.CodeCRLRollback {
		t.Errorf("an older list: %v", err)
	}
	if _, err := c.HTTP().Get(b.url()); !errors.As(err, &refused) || b.requests.Load() != 0 {
		t.Errorf("a request with an older list: %v", err)
	}
	if err := ask(10); err != nil {
		t.Errorf("the list that was seen: %v", err)
	}
}

// TestFloorsOfRefused: a box that is not accepted raises nothing.
func TestFloorsOfRefused(t *testing.T) {
	dir, err := cache.Open(t.TempDir(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	b, hardware, c := numberedBox(t, client.WithFloors(dir))
	other := parse(t, "version: 1\naccept: [{name: v1, sev-snp: {measurement: \""+fmt.Sprintf("%096d", 7)+"\"}, policy: any}]\n")
	good := c.Trust()
	v := fakeAMD(t)
	for _, step := range []struct {
		accepted bool
		number   int64
	}{{true, 9}, {false, 12}, {true, 10}} {
		trust := good
		if !step.accepted {
			trust = other
		}
		if err := c.SetTrust(trust); err != nil {
			t.Fatal(err)
		}
		c.UseVerifier(v)
		hardware.number = step.number
		if _, _, err := c.Verify(context.Background(), b.url()); (err == nil) != step.accepted {
			t.Errorf("list %d: %v", step.number, err)
		}
	}
}

// brokenFloors cannot be read, or not written.
type brokenFloors struct{ read, write error }

func (f brokenFloors) Floor(string) (*big.Int, error) { return nil, f.read }
func (f brokenFloors) Raise(string, *big.Int) error   { return f.write }

func TestBrokenFloors(t *testing.T) {
	if _, err := client.New(trustFile(t, ""), client.WithFloors(nil)); err == nil {
		t.Error("no floors were taken")
	}
	lost := errors.New("the disk is gone")
	for name, f := range map[string]brokenFloors{"reading": {read: lost}, "writing": {write: lost}} {
		b, _, c := numberedBox(t, client.WithFloors(f))
		if _, err := c.HTTP().Get(b.url()); err == nil || b.requests.Load() != 0 {
			t.Errorf("%s: %d requests, error %v", name, b.requests.Load(), err)
		}
	}
}
