package client

import (
	"bytes"
	"container/list"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/nitro"
	"github.com/blindbox/blindbox/attest/nvgpu"
	"github.com/blindbox/blindbox/attest/sgx"
	"github.com/blindbox/blindbox/attest/snp"
	"github.com/blindbox/blindbox/attest/tdx"
)

// DefaultChains is how many machines' chains a Client keeps unless [WithChains]
// says otherwise. One is about 10 to 100 KB, with the manifests of a GPU 200 KB.
const DefaultChains = 64

// chain is what a vendor says about one machine, verified up to its root. Each use
// checks again that all of it is in force.
type chain interface {
	Verify(ev attest.Evidence, at time.Time) (*attest.Claims, error)
	Endorsed() attest.Validity
}

// chainKey is the digest of everything that a chain was made of.
type chainKey [sha256.Size]byte

// chains keeps the chains that were used last. A chain is immutable and its key
// covers every byte that it depends on, so that one is found only where making it
// again would give the same.
type chains struct {
	max int

	mu     sync.Mutex
	recent *list.List // of *keptChain, the one used last in front
	byKey  map[chainKey]*list.Element
}

type keptChain struct {
	key   chainKey
	chain chain
}

// newChains keeps at most max chains; for none it returns nil.
func newChains(max int) *chains {
	if max <= 0 {
		return nil
	}
	return &chains{max: max, recent: list.New(), byKey: make(map[chainKey]*list.Element)}
}

// get returns the chain of that key. One that is not in force at that time is
// dropped: it would only take the place of one that is.
func (c *chains) get(key chainKey, at time.Time) (chain, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byKey[key]
	if !ok {
		return nil, false
	}
	kept := e.Value.(*keptChain)
	if !kept.chain.Endorsed().Contains(at) {
		c.drop(e)
		return nil, false
	}
	c.recent.MoveToFront(e)
	return kept.chain, true
}

func (c *chains) put(key chainKey, made chain) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.byKey[key]; ok {
		c.recent.MoveToFront(e) // two connections were opened at the same time
		return
	}
	c.byKey[key] = c.recent.PushFront(&keptChain{key, made})
	if c.recent.Len() > c.max {
		c.drop(c.recent.Back())
	}
}

func (c *chains) drop(e *list.Element) {
	delete(c.byKey, c.recent.Remove(e).(*keptChain).key)
}

// chainSource knows how the chains of one kind of evidence are made.
type chainSource struct {
	// material is everything that the chain for this evidence is made of; false if
	// there is no chain for it.
	material func(attest.Evidence, attest.Endorsements) ([][]byte, bool)
	endorse  func(attest.Evidence, attest.Endorsements, time.Time) (chain, error)
}

// warmVerifier is a Verifier that verifies a machine's certificates and collateral
// once, and then only what is new: that saves all but one or two signatures of a
// connection. It accepts and refuses what the Verifier does that it stands for.
type warmVerifier struct {
	attest.Verifier
	source chainSource
	kept   *chains
}

// Verify is that of the Verifier, with a chain that is kept or can be. Where none
// can be made, the Verifier itself says everything that is wrong. A chain is kept
// once evidence was verified with it.
func (w *warmVerifier) Verify(ev attest.Evidence, end attest.Endorsements, at time.Time) (*attest.Claims, error) {
	if ev.Kind != w.Kind() {
		return w.Verifier.Verify(ev, end, at)
	}
	material, ok := w.source.material(ev, end)
	if !ok {
		return w.Verifier.Verify(ev, end, at)
	}
	key := keyOf(ev.Kind, material)
	if c, ok := w.kept.get(key, at); ok {
		return c.Verify(ev, at)
	}
	own, ownEnd := copied(ev, end)
	c, err := w.source.endorse(own, ownEnd, at)
	if err != nil {
		return w.Verifier.Verify(ev, end, at)
	}
	claims, err := c.Verify(ev, at)
	if err == nil {
		w.kept.put(key, c)
	}
	return claims, err
}

// copied is for a chain, which outlives what it was made of: that belongs to
// whoever was shown it.
func copied(ev attest.Evidence, end attest.Endorsements) (attest.Evidence, attest.Endorsements) {
	out := make(attest.Endorsements, len(end))
	for i, e := range end {
		out[i] = attest.Endorsement{Label: e.Label, Data: bytes.Clone(e.Data)}
	}
	return attest.Evidence{Kind: ev.Kind, Data: bytes.Clone(ev.Data)}, out
}

// keyOf is the digest of the kind and of each part with its length.
func keyOf(kind attest.Kind, material [][]byte) chainKey {
	h := sha256.New()
	h.Write([]byte{byte(kind)})
	for _, part := range material {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		h.Write(part)
	}
	return chainKey(h.Sum(nil))
}

// allOf are the labels and bytes of all endorsements, in their order.
func allOf(end attest.Endorsements, more ...[]byte) [][]byte {
	out := make([][]byte, 0, 2*len(end)+len(more))
	for _, e := range end {
		out = append(out, []byte(e.Label), e.Data)
	}
	return append(out, more...)
}

// warmed is a Verifier that keeps chains, unless none are to be kept.
func warmed(v attest.Verifier, s chainSource, kept *chains) attest.Verifier {
	if kept == nil {
		return v
	}
	return &warmVerifier{Verifier: v, source: s, kept: kept}
}

func snpChains(v *snp.Verifier) chainSource {
	return chainSource{
		material: func(_ attest.Evidence, end attest.Endorsements) ([][]byte, bool) { return allOf(end), true },
		endorse: func(_ attest.Evidence, end attest.Endorsements, at time.Time) (chain, error) {
			return v.Endorse(end, at)
		},
	}
}

// pckChains is for quotes, which hold the certificates of their processor. Those
// that come with others beside them have to be compared, which a chain does not.
func pckChains(pck func(attest.Evidence) (attest.Endorsement, error), endorse func(attest.Endorsements, time.Time) (chain, error)) chainSource {
	return chainSource{
		material: func(ev attest.Evidence, end attest.Endorsements) ([][]byte, bool) {
			own, err := pck(ev)
			_, beside, twice := end.Get(attest.LabelIntelPCKChain)
			return allOf(end, own.Data), err == nil && twice == nil && !beside
		},
		endorse: func(ev attest.Evidence, end attest.Endorsements, at time.Time) (chain, error) {
			own, err := pck(ev)
			if err != nil {
				return nil, err
			}
			return endorse(append(end[:len(end):len(end)], own), at)
		},
	}
}

// tdxChains makes none for a quote that comes with an event log: the log has to be
// compared with the quote, which a chain does not.
func tdxChains(v *tdx.Verifier) chainSource {
	s := pckChains(tdx.PCKChain, func(end attest.Endorsements, at time.Time) (chain, error) { return v.Endorse(end, at) })
	material := s.material
	s.material = func(ev attest.Evidence, end attest.Endorsements) ([][]byte, bool) {
		if _, log, err := end.Get(attest.LabelEventLog); log || err != nil {
			return nil, false
		}
		return material(ev, end)
	}
	return s
}

func sgxChains(v *sgx.Verifier) chainSource {
	return pckChains(sgx.PCKChain, func(end attest.Endorsements, at time.Time) (chain, error) { return v.Endorse(end, at) })
}

// nitroChains are made of the certificates in the document, and of nothing else.
func nitroChains(v *nitro.Verifier) chainSource {
	return chainSource{
		material: func(ev attest.Evidence, _ attest.Endorsements) ([][]byte, bool) {
			doc, err := nitro.ParseDocument(ev.Data)
			if err != nil {
				return nil, false
			}
			return append([][]byte{doc.Certificate}, doc.CABundle...), true
		},
		endorse: func(ev attest.Evidence, _ attest.Endorsements, at time.Time) (chain, error) { return v.Endorse(ev, at) },
	}
}

func nvgpuChains(v *nvgpu.Verifier) chainSource {
	return chainSource{
		material: func(ev attest.Evidence, end attest.Endorsements) ([][]byte, bool) {
			device, err := nvgpu.DeviceChain(ev)
			return allOf(end, device), err == nil
		},
		endorse: func(ev attest.Evidence, end attest.Endorsements, at time.Time) (chain, error) {
			device, err := nvgpu.DeviceChain(ev)
			if err != nil {
				return nil, err
			}
			return v.Endorse(device, end, at)
		},
	}
}
