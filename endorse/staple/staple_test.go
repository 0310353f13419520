package staple_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/endorse/fetch"
	"github.com/blindbox/blindbox/endorse/source"
	"github.com/blindbox/blindbox/endorse/staple"
)

// vendor answers in memory.
type vendor struct {
	mu      sync.Mutex
	now     time.Time
	answers map[string][]byte // by label
	asked   map[string]int
	fails   error
	blocks  bool
}

func (v *vendor) Get(ctx context.Context, o source.Object) (fetch.Answer, error) {
	v.mu.Lock()
	v.asked[o.Label()]++
	data, fails, blocks := v.answers[o.Label()], v.fails, v.blocks
	v.mu.Unlock()
	if blocks {
		<-ctx.Done()
		return fetch.Answer{}, ctx.Err()
	}
	switch {
	case fails != nil:
		return fetch.Answer{}, fails
	case data == nil:
		return fetch.Answer{}, &fetch.Error{Object: o, Status: 404, Answered: "404 Not Found"}
	}
	return fetch.Answer{Data: data, Chain: []byte("chain")}, nil
}

func (v *vendor) Now() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.now
}

func (v *vendor) change(f func(*vendor)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	f(v)
}

func (v *vendor) count(label string) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.asked[label]
}

func crl(t *testing.T, number int64, from, to time.Time) []byte {
	t.Helper()
	var c attesttest.CRL
	c.ThisUpdate, c.NextUpdate, c.Number = from, to, big.NewInt(number)
	der, err := attesttest.New().Chain(t, attesttest.Genoa).ARK.CRL(c.CRLOptions)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// bare is the attester of a machine whose host hands out nothing.
type bare struct {
	attest.Attester
	also attest.Endorsements
}

func (b bare) Attest(ctx context.Context, bound attest.Bound) (attest.Evidence, attest.Endorsements, error) {
	ev, _, err := b.Attester.Attest(ctx, bound)
	return ev, b.also, err
}

// world is a vendor that has what one machine needs, and that machine.
func world(t *testing.T, opts ...attesttest.Option) (*vendor, bare) {
	t.Helper()
	_, end := attesttest.New().Make(t, [64]byte{1}, opts...)
	vek, _, _ := end.Get(attest.LabelSNPVEK)
	now := attesttest.Epoch()
	v := &vendor{now: now, asked: map[string]int{}, answers: map[string][]byte{
		attest.LabelSNPVEK: vek, attest.LabelSNPARKCRL: crl(t, 5, now.Add(-time.Hour), now.AddDate(0, 0, 30)),
	}}
	return v, bare{Attester: attesttest.New().Attester(opts...)}
}

// start runs the wrapped attester until the test ends. step lets it do what is
// due now: it returns after the next line that it logs.
func start(t *testing.T, v *vendor, inner attest.Attester, wait time.Duration) (a *staple.Attester, lines chan string) {
	t.Helper()
	lines = make(chan string, 100)
	a, err := staple.New(staple.Config{
		Attester: inner, Getter: v, Wait: wait, Now: v.Now, Jitter: func() float64 { return 0 },
		Log: func(line string) { lines <- line },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { a.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return a, lines
}

func bound(t *testing.T) attest.Bound {
	t.Helper()
	now := attesttest.Epoch()
	s := attest.Statement{Purpose: attest.PurposeKeys, Role: attest.RoleServer, Nonce: [32]byte{1}, SPKI: attest.Digest{2}, Policy: attest.Digest{3}, NotBefore: now, NotAfter: now}
	b, err := s.Bind()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func labels(t *testing.T, a attest.Attester) string {
	t.Helper()
	ev, end, err := a.Attest(t.Context(), bound(t))
	if err != nil || ev.Kind != attest.SNP {
		t.Fatalf("Attest: %s, %v", ev.Kind, err)
	}
	out := ""
	for _, e := range end {
		out += e.Label + " "
	}
	return out
}

const both = attest.LabelSNPVEK + " " + attest.LabelSNPARKCRL + " "

func TestStaples(t *testing.T) {
	v, inner := world(t)
	a, _ := start(t, v, inner, time.Minute)
	if got := labels(t, a); got != both || a.Kind() != attest.SNP {
		t.Errorf("first: %s", got)
	}
	labels(t, a)
	if v.count(attest.LabelSNPVEK) != 1 || v.count(attest.LabelSNPARKCRL) != 1 {
		t.Error("asked more than once")
	}
}

// TestReportWithoutProcessor: the vendor's denial of one plan leads to the next.
func TestReportWithoutProcessor(t *testing.T) {
	v, inner := world(t, attesttest.On(attesttest.Genoa, 2))
	denying := &milanDenied{v}
	lines := make(chan string, 100)
	a, err := staple.New(staple.Config{Attester: inner, Getter: denying, Wait: time.Minute, Now: v.Now, Log: func(l string) { lines <- l }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go a.Run(ctx)
	if got := labels(t, a); got != both {
		t.Errorf("staples %s", got)
	}
}

type milanDenied struct{ *vendor }

func (m *milanDenied) Get(ctx context.Context, o source.Object) (fetch.Answer, error) {
	if milan, _ := source.AMDCRL("Milan", false); o.Form() == source.FormVCEK && o.Path()[:15] == milan.Path()[:15] {
		return fetch.Answer{}, &fetch.Error{Object: o, Status: 404}
	}
	return m.vendor.Get(ctx, o)
}

// TestHostsOwn: what the host hands out stays, and is not asked for.
func TestHostsOwn(t *testing.T) {
	v, inner := world(t)
	inner.also = attest.Endorsements{{Label: attest.LabelSNPVEK, Data: []byte("the host's")}, {Label: "other", Data: []byte("x")}}
	a, _ := start(t, v, inner, time.Minute)
	_, end, err := a.Attest(t.Context(), bound(t))
	if err != nil || len(end) != 3 || string(end[0].Data) != "the host's" || v.count(attest.LabelSNPVEK) != 0 {
		t.Errorf("%v, %v", end, err)
	}
}

// TestNeverBlocks: a vendor that hangs costs a bounded time, and a handshake
// whose caller gives up costs none.
func TestNeverBlocks(t *testing.T) {
	v, inner := world(t)
	v.blocks = true
	a, _ := start(t, v, inner, 50*time.Millisecond)
	began := time.Now()
	if got := labels(t, a); got != "" {
		t.Errorf("staples %s", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := a.Attest(ctx, bound(t)); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("took %s", took)
	}
}

// TestNoNetwork: the box works, and after the first failure nobody waits.
func TestNoNetwork(t *testing.T) {
	v, inner := world(t)
	v.fails = fmt.Errorf("no route to host: %w", attest.ErrUnavailable)
	a, lines := start(t, v, inner, time.Minute)
	if got := labels(t, a); got != "" {
		t.Errorf("staples %s", got)
	}
	<-lines
	<-lines
	began := time.Now()
	labels(t, a)
	if time.Since(began) > 30*time.Second {
		t.Error("waits again")
	}
	if v.count(attest.LabelSNPVEK) != 1 {
		t.Errorf("asked %d times at once", v.count(attest.LabelSNPVEK))
	}
}

// TestRefresh: a list is asked for again before its end; an older or dated one
// does not replace it; past its end it is left out.
func TestRefresh(t *testing.T) {
	v, inner := world(t)
	a, lines := start(t, v, inner, time.Minute)
	labels(t, a)
	<-lines
	<-lines
	now := attesttest.Epoch()
	list := func(number int64, from, to time.Time) {
		der := crl(t, number, from, to)
		v.change(func(v *vendor) { v.answers[attest.LabelSNPARKCRL] = der })
	}
	stapled := func() []byte {
		_, end, err := a.Attest(t.Context(), bound(t))
		if err != nil {
			t.Fatal(err)
		}
		der, _, _ := end.Get(attest.LabelSNPARKCRL)
		return der
	}
	number := func() int64 {
		l, err := x509.ParseRevocationList(stapled())
		if err != nil {
			t.Fatal(err)
		}
		return l.Number.Int64()
	}
	for _, step := range []struct {
		name     string
		number   int64
		from, to time.Time
		want     int64
	}{
		{"older", 4, now, now.AddDate(0, 0, 30), 5},
		{"ended", 6, now.AddDate(-1, 0, 0), now.AddDate(0, -1, 0), 5},
		{"not yet", 6, now.AddDate(0, 2, 0), now.AddDate(0, 3, 0), 5},
		{"newer", 6, now, now.AddDate(0, 0, 30), 6},
	} {
		list(step.number, step.from, step.to)
		v.change(func(v *vendor) { v.now = v.now.Add(25 * time.Hour) })
		a.Wake()
		<-lines
		if got := number(); got != step.want {
			t.Errorf("%s: staples number %d, expected %d", step.name, got, step.want)
		}
	}
	v.change(func(v *vendor) { v.now = now.AddDate(1, 0, 0); v.fails = attest.ErrUnavailable })
	if der := stapled(); der != nil {
		t.Error("staples a list past its end")
	}
}

func TestConfig(t *testing.T) {
	v, inner := world(t)
	for name, c := range map[string]staple.Config{
		"no attester": {Getter: v}, "no getter": {Attester: inner}, "negative wait": {Attester: inner, Getter: v, Wait: -1},
	} {
		if a, err := staple.New(c); err == nil || a != nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestInnerFails: no evidence, no endorsements.
func TestInnerFails(t *testing.T) {
	v, inner := world(t)
	a, _ := start(t, v, inner, time.Minute)
	if ev, end, err := a.Attest(t.Context(), attest.Bound{}); err == nil || end != nil || ev.Data != nil {
		t.Errorf("zero Bound: %v, %v", end, err)
	}
}
