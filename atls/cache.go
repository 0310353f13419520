package atls

import (
	"crypto/ed25519"
	"slices"
	"sync"
	"time"

	"github.com/blindbox/blindbox/attest"
)

// maxProven bounds the cache; each entry holds a bundle of up to 256 KiB.
const maxProven = 64

// provenKey is an attestation key that this client saw hardware name.
type provenKey struct {
	hash   attest.Digest
	public ed25519.PublicKey
	// host is where it was seen. It only chooses what is offered where, so that
	// one box does not learn which others this client talks to.
	host  string
	spki  attest.Digest
	proof *proof
}

// provenKeys says "key K is good until T", never "host H is good": behind one
// address there may be many boxes. It belongs to one Client, because what is
// good depends on that client's CheckFunc.
type provenKeys struct {
	maxAge time.Duration
	now    func() time.Time

	mu   sync.Mutex
	keys []*provenKey // oldest first
}

// offers returns the keys worth offering to host, newest first.
func (p *provenKeys) offers(host string) []*provenKey {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dropOld()
	var out []*provenKey
	for _, k := range slices.Backward(p.keys) {
		if k.host == host && len(out) < maxOffers {
			out = append(out, k)
		}
	}
	return out
}

// add remembers the key that a full proof names, if it names one.
func (p *provenKeys) add(host string, spki attest.Digest, pr *proof) {
	if p.maxAge <= 0 || len(pr.bundle.AttestationKey) != ed25519.PublicKeySize {
		return
	}
	k := &provenKey{hash: pr.statement.AttestationKey, public: pr.bundle.AttestationKey, host: host, spki: spki, proof: pr}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dropOld()
	p.keys = slices.DeleteFunc(p.keys, func(o *provenKey) bool { return o.hash == k.hash })
	if len(p.keys) >= maxProven {
		p.keys = slices.Delete(p.keys, 0, len(p.keys)-maxProven+1)
	}
	p.keys = append(p.keys, k)
}

// forget drops what was known about the box with that TLS key.
func (p *provenKeys) forget(spki attest.Digest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = slices.DeleteFunc(p.keys, func(k *provenKey) bool { return k.spki == spki })
}

func (p *provenKeys) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = nil
}

func (p *provenKeys) dropOld() {
	now := p.now()
	p.keys = slices.DeleteFunc(p.keys, func(k *provenKey) bool { return age(now, k.proof.at) >= k.proof.life(p.maxAge) })
}

func hashes(keys []*provenKey) []attest.Digest {
	out := make([]attest.Digest, len(keys))
	for i, k := range keys {
		out[i] = k.hash
	}
	return out
}
