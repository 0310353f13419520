package client

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/azure"
	"github.com/blindbox/blindbox/attest/form"
	"github.com/blindbox/blindbox/attest/nitro"
	"github.com/blindbox/blindbox/attest/nvgpu"
	"github.com/blindbox/blindbox/attest/sgx"
	"github.com/blindbox/blindbox/attest/snp"
	"github.com/blindbox/blindbox/attest/tdx"
)

// machineOf is a fake machine of one kind: its verifier, and what it shows.
type machineOf struct {
	kind attest.Kind
	cold func(testing.TB) (attest.Verifier, chainSource)
	show func(testing.TB, byte) (attest.Evidence, attest.Endorsements)
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func machines() []machineOf {
	intel := func(kind attest.Kind) func(testing.TB, byte) (attest.Evidence, attest.Endorsements) {
		return func(t testing.TB, n byte) (attest.Evidence, attest.Endorsements) {
			return attesttest.NewIntel().Make(t, kind, [64]byte{n})
		}
	}
	return []machineOf{
		{attest.SNP, func(t testing.TB) (attest.Verifier, chainSource) {
			r := attesttest.New().Roots(t, attesttest.Genoa)
			v := must(snp.NewVerifierWithRoots(attest.SNP, snp.Root{Product: snp.Genoa, ARK: r.ARK.Raw, ASK: r.ASK.Raw, ASVK: r.ASVK.Raw}))(t)
			return v, snpChains(v)
		}, always(func(t testing.TB) (attest.Evidence, attest.Endorsements) {
			return attesttest.New().Make(t, [64]byte{1})
		})},
		{attest.TDX, func(t testing.TB) (attest.Verifier, chainSource) {
			v := must(tdx.NewVerifierWithRoot(attesttest.NewIntel().Root(t)))(t)
			return v, tdxChains(v)
		}, intel(attest.TDX)},
		{attest.SGX, func(t testing.TB) (attest.Verifier, chainSource) {
			v := must(sgx.NewVerifierWithRoot(attesttest.NewIntel().Root(t)))(t)
			return v, sgxChains(v)
		}, intel(attest.SGX)},
		{attest.Nitro, func(t testing.TB) (attest.Verifier, chainSource) {
			v := must(nitro.NewVerifierWithRoots(attesttest.NewAWS().Root(t)))(t)
			return v, nitroChains(v)
		}, always(func(t testing.TB) (attest.Evidence, attest.Endorsements) {
			return attesttest.NewAWS().Make(t, [64]byte{1}), nil
		})},
		{attest.NVIDIAGPU, func(t testing.TB) (attest.Verifier, chainSource) {
			device, rim := attesttest.NewNVIDIA().Roots(t)
			v := must(nvgpu.NewVerifierWithRoots(attest.NVIDIAGPU, nvgpu.Roots{Device: device, RIM: rim}))(t)
			return v, nvgpuChains(v)
		}, always(func(t testing.TB) (attest.Evidence, attest.Endorsements) {
			return attesttest.NewNVIDIA().MakeGPU(t, [32]byte{1})
		})},
	}
}

// always shows the same: those fake vendors make a new machine each time.
func always(show func(testing.TB) (attest.Evidence, attest.Endorsements)) func(testing.TB, byte) (attest.Evidence, attest.Endorsements) {
	var once sync.Once
	var ev attest.Evidence
	var end attest.Endorsements
	return func(t testing.TB, _ byte) (attest.Evidence, attest.Endorsements) {
		once.Do(func() { ev, end = show(t) })
		return cloned(ev, end)
	}
}

// counted is a source that counts what it made.
func counted(s chainSource) (chainSource, *atomic.Int32) {
	var made atomic.Int32
	endorse := s.endorse
	s.endorse = func(ev attest.Evidence, end attest.Endorsements, at time.Time) (chain, error) {
		made.Add(1)
		return endorse(ev, end, at)
	}
	return s, &made
}

func (m machineOf) warm(t testing.TB, kept *chains) (warm, cold attest.Verifier, made *atomic.Int32) {
	cold, source := m.cold(t)
	source, made = counted(source)
	return warmed(cold, source, kept), cold, made
}

func cloned(ev attest.Evidence, end attest.Endorsements) (attest.Evidence, attest.Endorsements) {
	ev.Data = bytes.Clone(ev.Data)
	end = slices.Clone(end)
	for i := range end {
		end[i].Data = bytes.Clone(end[i].Data)
	}
	return ev, end
}

func failedNames(err error) []string {
	var f *attest.Failure
	if !errors.As(err, &f) {
		return nil
	}
	var out []string
	for _, c := range f.Failed() {
		out = append(out, c.Name+" "+string(c.Code))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// TestWarmIsCold: with a chain and without, the same claims and the same refusals.
func TestWarmIsCold(t *testing.T) {
	now := attesttest.Epoch()
	for _, m := range machines() {
		t.Run(m.kind.String(), func(t *testing.T) {
			kept := newChains(4)
			warm, cold, made := m.warm(t, kept)
			for n := range byte(3) {
				ev, end := m.show(t, n)
				want, err := cold.Verify(ev, end, now)
				if err != nil {
					t.Fatal(err)
				}
				got, err := warm.Verify(ev, end, now)
				if err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("connection %d: %v\n%+v\nexpected\n%+v", n, err, got, want)
				}
			}
			if made.Load() != 1 || kept.recent.Len() != 1 {
				t.Errorf("%d chains made, %d kept, for three connections to one machine", made.Load(), kept.recent.Len())
			}
			for name, spoil := range map[string]func(*attest.Evidence, *attest.Endorsements, *time.Time){
				"signature":  func(ev *attest.Evidence, _ *attest.Endorsements, _ *time.Time) { spoilSignature(t, ev) },
				"other kind": func(ev *attest.Evidence, _ *attest.Endorsements, _ *time.Time) { ev.Kind = attest.TPM },
				"cut off":    func(ev *attest.Evidence, _ *attest.Endorsements, _ *time.Time) { ev.Data = ev.Data[:len(ev.Data)/2] },
				"too early":  func(_ *attest.Evidence, _ *attest.Endorsements, at *time.Time) { *at = now.AddDate(-10, 0, 0) },
				"too late":   func(_ *attest.Evidence, _ *attest.Endorsements, at *time.Time) { *at = now.AddDate(30, 0, 0) },
				"withheld": func(_ *attest.Evidence, end *attest.Endorsements, _ *time.Time) {
					*end = nil
				},
				"spoiled endorsement": func(_ *attest.Evidence, end *attest.Endorsements, _ *time.Time) {
					for _, e := range *end {
						e.Data[len(e.Data)/2] ^= 1
					}
				},
				"twice": func(_ *attest.Evidence, end *attest.Endorsements, _ *time.Time) { *end = append(*end, *end...) },
			} {
				ev, end := cloned(m.show(t, 9))
				at := now
				spoil(&ev, &end, &at)
				want, wantErr := cold.Verify(ev, end, at)
				got, err := warm.Verify(ev, end, at)
				if (err == nil) != (wantErr == nil) || !reflect.DeepEqual(failedNames(err), failedNames(wantErr)) {
					t.Errorf("%s: %v\nexpected %v", name, err, wantErr)
				}
				if err == nil && !reflect.DeepEqual(got, want) {
					t.Errorf("%s: other claims", name)
				}
			}
		})
	}
}

// spoilSignature changes what the hardware signed and leaves all else readable.
func spoilSignature(t testing.TB, ev *attest.Evidence) {
	t.Helper()
	at := map[attest.Kind]int{attest.SNP: 0x50, attest.TDX: 48 + 520, attest.SGX: 48 + 320, attest.NVIDIAGPU: 30, attest.Nitro: len(ev.Data) - 1}[ev.Kind]
	ev.Data[at] ^= 1
}

// TestRefusedIsNotKept: neither a chain that cannot be verified, nor one of which
// the evidence is forged.
func TestRefusedIsNotKept(t *testing.T) {
	now := attesttest.Epoch()
	for _, m := range machines() {
		kept := newChains(4)
		warm, _, _ := m.warm(t, kept)
		ev, end := cloned(m.show(t, 1))
		spoilSignature(t, &ev)
		if claims, err := warm.Verify(ev, end, now); err == nil || claims != nil {
			t.Errorf("%s: forged evidence accepted", m.kind)
		}
		ev, end = m.show(t, 1)
		if _, err := warm.Verify(ev, end, now.AddDate(30, 0, 0)); err == nil {
			t.Errorf("%s: accepted in thirty years", m.kind)
		}
		if n := kept.recent.Len(); n != 0 || len(kept.byKey) != 0 {
			t.Errorf("%s: %d chains kept of what was refused", m.kind, n)
		}
	}
}

// TestKeptIsJudgedEachTime: a chain that was in force when it was kept refuses when
// it is not, and is dropped.
func TestKeptIsJudgedEachTime(t *testing.T) {
	now := attesttest.Epoch()
	for _, m := range machines() {
		kept := newChains(4)
		warm, cold, made := m.warm(t, kept)
		ev, end := m.show(t, 1)
		claims, err := warm.Verify(ev, end, now)
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range []time.Time{claims.Endorsed.NotAfter.Add(time.Second), claims.Endorsed.NotBefore.Add(-time.Second), {}} {
			if _, err := warm.Verify(ev, end, now); err != nil {
				t.Fatal(err)
			}
			_, want := cold.Verify(ev, end, at)
			if _, err := warm.Verify(ev, end, at); err == nil || want == nil || !reflect.DeepEqual(failedNames(err), failedNames(want)) {
				t.Errorf("%s at %s: %v\nexpected %v", m.kind, at, err, want)
			}
			if kept.recent.Len() != 0 {
				t.Errorf("%s at %s: still kept", m.kind, at)
			}
		}
		if made.Load() != 6 { // one for each good connection after a drop, one for each refusal
			t.Errorf("%s: %d chains made", m.kind, made.Load())
		}
	}
}

// TestChainNeedsEveryByte: what differs from the chain's in a single byte, label or
// order is verified anew.
func TestChainNeedsEveryByte(t *testing.T) {
	one, two := []byte("one"), []byte("two")
	a := attest.Endorsements{{Label: "a", Data: one}, {Label: "b", Data: two}}
	seen := map[chainKey]string{}
	for name, parts := range map[string][][]byte{
		"as it is":      allOf(a),
		"more":          allOf(a, one),
		"other order":   allOf(attest.Endorsements{a[1], a[0]}),
		"other label":   allOf(attest.Endorsements{{Label: "c", Data: one}, a[1]}),
		"other byte":    allOf(attest.Endorsements{{Label: "a", Data: []byte("onf")}, a[1]}),
		"shifted":       {[]byte("ao"), []byte("ne"), []byte("b"), two},
		"one left out":  allOf(a[:1]),
		"nothing":       nil,
		"an empty part": {nil},
	} {
		key := keyOf(attest.SNP, parts)
		if other, ok := seen[key]; ok {
			t.Errorf("%s and %s have one key", name, other)
		}
		seen[key] = name
	}
	if keyOf(attest.SNP, allOf(a)) == keyOf(attest.TDX, allOf(a)) {
		t.Error("two kinds have one key")
	}
	now := attesttest.Epoch()
	for _, m := range machines() {
		warm, _, made := m.warm(t, newChains(4))
		ev, end := m.show(t, 1)
		for range 2 {
			if _, err := warm.Verify(ev, end, now); err != nil {
				t.Fatal(err)
			}
		}
		if len(end) == 0 {
			continue // Nitro: everything is in the evidence
		}
		more := append(slices.Clone(end), attest.Endorsement{Label: "nobody/reads-this", Data: []byte{1}})
		if _, err := warm.Verify(ev, more, now); err != nil || made.Load() != 2 {
			t.Errorf("%s: %d chains made, %v", m.kind, made.Load(), err)
		}
	}
}

// TestChainOwnsItsMemory: who is shown the evidence may do with it what they like.
func TestChainOwnsItsMemory(t *testing.T) {
	now := attesttest.Epoch()
	for _, m := range machines() {
		warm, _, made := m.warm(t, newChains(4))
		ev, end := cloned(m.show(t, 1))
		if _, err := warm.Verify(ev, end, now); err != nil {
			t.Fatal(err)
		}
		clear(ev.Data)
		for _, e := range end {
			clear(e.Data)
		}
		ev, end = m.show(t, 2)
		claims, err := warm.Verify(ev, end, now)
		if err != nil || made.Load() != 1 {
			t.Errorf("%s: %d chains, %v", m.kind, made.Load(), err)
			continue
		}
		for _, c := range claims.Checks {
			if c.Status == attest.Fail {
				t.Errorf("%s: %s", m.kind, c)
			}
		}
	}
}

// stub is a chain for nothing.
type stub struct{ id int }

func (stub) Verify(attest.Evidence, time.Time) (*attest.Claims, error) { return nil, nil }
func (stub) Endorsed() attest.Validity {
	return attest.Validity{NotBefore: attesttest.Epoch(), NotAfter: attesttest.Epoch().Add(time.Hour)}
}

// TestChainsAreBounded: the one that was not used for longest goes first.
func TestChainsAreBounded(t *testing.T) {
	now := attesttest.Epoch()
	kept := newChains(2)
	key := func(n byte) chainKey { return chainKey{n} }
	kept.put(key(1), stub{1})
	kept.put(key(2), stub{2})
	if _, ok := kept.get(key(1), now); !ok {
		t.Fatal("the first is gone")
	}
	kept.put(key(3), stub{3})
	kept.put(key(1), stub{4}) // it is there: the older one stays
	for n, want := range map[byte]chain{1: stub{1}, 2: nil, 3: stub{3}} {
		got, ok := kept.get(key(n), now)
		if ok != (want != nil) || got != want {
			t.Errorf("%d: %v", n, got)
		}
	}
	if kept.recent.Len() != 2 || len(kept.byKey) != 2 {
		t.Errorf("%d and %d", kept.recent.Len(), len(kept.byKey))
	}
	for _, n := range []int{0, -1} {
		if newChains(n) != nil {
			t.Errorf("%d chains are kept somewhere", n)
		}
	}
}

// TestChainsInParallel: 100 connections at once share chains, with bad ones among
// them, and more machines than are kept.
func TestChainsInParallel(t *testing.T) {
	now := attesttest.Epoch()
	kept := newChains(3)
	var wg sync.WaitGroup
	list := machines()
	type shown struct {
		v   attest.Verifier
		ev  attest.Evidence
		end attest.Endorsements
	}
	good, bad := make([]shown, len(list)), make([]shown, len(list))
	for i, m := range list {
		v, _, _ := m.warm(t, kept)
		ev, end := m.show(t, 1)
		good[i] = shown{v, ev, end}
		ev, end = cloned(ev, end)
		spoilSignature(t, &ev)
		bad[i] = shown{v, ev, end}
	}
	for i := range 100 {
		wg.Go(func() {
			s, want := good[i%len(good)], true
			if i%7 == 0 {
				s, want = bad[i%len(bad)], false
			}
			if claims, err := s.v.Verify(s.ev, s.end, now); (err == nil) != want || (claims != nil) != want {
				t.Errorf("%d: %s: %v", i, s.ev.Kind, err)
			}
		})
	}
	wg.Wait()
	if n := kept.recent.Len(); n > 3 || n != len(kept.byKey) {
		t.Errorf("%d chains kept, %d keys", n, len(kept.byKey))
	}
}

// TestOnlyWhatAChainCovers: a quote that comes with an event log, or with
// certificates beside its own, is compared with them every time.
func TestOnlyWhatAChainCovers(t *testing.T) {
	now := attesttest.Epoch()
	for _, m := range machines() {
		if m.kind != attest.TDX && m.kind != attest.SGX {
			continue
		}
		kept := newChains(4)
		warm, cold, made := m.warm(t, kept)
		ev, end := m.show(t, 1)
		beside := append(slices.Clone(end), attest.Endorsement{Label: attest.LabelIntelPCKChain, Data: []byte("others")})
		log := append(slices.Clone(end), attest.Endorsement{Label: attest.LabelEventLog, Data: []byte("a log of another machine")})
		for name, e := range map[string]attest.Endorsements{"certificates": beside, "log": log} {
			_, want := cold.Verify(ev, e, now)
			_, err := warm.Verify(ev, e, now)
			if !reflect.DeepEqual(failedNames(err), failedNames(want)) {
				t.Errorf("%s, %s: %v\nexpected %v", m.kind, name, err, want)
			}
			if name == "certificates" && (err == nil || made.Load() != 0 && m.kind == attest.TDX) {
				t.Errorf("%s: other certificates were not looked at: %v", m.kind, err)
			}
			if name == "log" && m.kind == attest.TDX && err == nil {
				t.Error("a log that leads nowhere was not looked at")
			}
		}
	}
}

// TestMakerWarmsEveryKind: the verifiers of a Client keep chains, also those of a
// machine's parts, unless it was told not to.
func TestMakerWarmsEveryKind(t *testing.T) {
	read := func(name string) []byte { return must(os.ReadFile("../vectors/" + name))(t) }
	machine := attest.Evidence{Kind: attest.SNP, Data: read("snp/genoa-v5-oak.report.bin")}
	end := attest.Endorsements{{Label: attest.LabelSNPVEK, Data: read("snp/genoa-v5-oak.vek.der")}}
	gpus := must(nvgpu.FromNVIDIAJSON(read("nvidia/hopper_evidence.json")))(t)
	both := must(form.EncodeComposite([]attest.Evidence{machine, gpus[0]}))(t)
	cloud, cloudEnd, err := azure.FromTrusteeJSON(read("azure/snp-v2-trustee.json"))
	if err != nil {
		t.Fatal(err)
	}
	day := func(year int, month time.Month) time.Time { return time.Date(year, month, 15, 0, 0, 0, 0, time.UTC) }
	for name, c := range map[string]struct {
		ev    attest.Evidence
		end   attest.Endorsements
		at    time.Time
		parts int
	}{
		"SNP":       {machine, end, day(2025, 9), 1},
		"composite": {both, end, day(2025, 9), 2},
		"azure":     {cloud, cloudEnd, day(2025, 6), 1},
	} {
		for _, size := range []int{0, 8} {
			kept := newChains(size)
			all, err := verifiersFor(nil, kept)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if _, err := all[c.ev.Kind].Verify(c.ev, c.end, c.at); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
			}
			if size != 0 && kept.recent.Len() != c.parts {
				t.Errorf("%s: %d chains kept, expected %d", name, kept.recent.Len(), c.parts)
			}
		}
	}
}

func TestWithChains(t *testing.T) {
	trust := trustOf(t, snpOnly)
	for name, c := range map[string]struct {
		opts []Option
		max  int
	}{
		"default": {nil, DefaultChains},
		"seven":   {[]Option{WithChains(7)}, 7},
		"none":    {[]Option{WithChains(0)}, 0},
	} {
		client, err := New(trust, c.opts...)
		if err != nil {
			t.Fatal(err)
		}
		max := 0
		if warm, ok := client.engine.Load().verifiers[attest.SNP].(*warmVerifier); ok {
			max = warm.kept.max
		}
		if max != c.max {
			t.Errorf("%s: %d chains, expected %d", name, max, c.max)
		}
		client.Close()
	}
	if _, err := New(trust, WithChains(-1)); err == nil {
		t.Error("a negative number of chains")
	}
}

// BenchmarkVerify is a machine that is met again beside the same without chains.
func BenchmarkVerify(b *testing.B) {
	now := attesttest.Epoch()
	for _, m := range machines() {
		for name, size := range map[string]int{"cold": 0, "warm": 4} {
			b.Run(fmt.Sprintf("%s/%s", m.kind, name), func(b *testing.B) {
				v, _, _ := m.warm(b, newChains(size))
				ev, end := m.show(b, 1)
				if _, err := v.Verify(ev, end, now); err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				for b.Loop() {
					if _, err := v.Verify(ev, end, now); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
