package attesttest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha512"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/internal/awsforge"
)

// EnclaveDocument is what an enclave's hypervisor signs, for tests outside of
// attest.
type EnclaveDocument = awsforge.Document

// AWS is a vendor of Nitro Enclaves: a root key, and the certificates of any
// enclave on demand. It is safe for concurrent use.
type AWS struct {
	root    func() (*awsforge.Cert, error)
	vectors shared

	mu    sync.Mutex
	usual map[time.Time]*awsforge.Chain
}

var (
	newAWS         = sync.OnceValue(makeAWS)
	newStrangerAWS = sync.OnceValue(makeAWS)
)

// NewAWS returns the vendor. It is the same one throughout the process.
func NewAWS() *AWS { return newAWS() }

// StrangerAWS returns somebody who has given his own keys the vendor's names.
func StrangerAWS() *AWS { return newStrangerAWS() }

func makeAWS() *AWS {
	return &AWS{root: sync.OnceValues(func() (*awsforge.Cert, error) {
		return awsforge.ChainOptions{Now: Epoch()}.Issue(awsforge.Root, nil)
	})}
}

// Root returns the certificate that a verifier would pin, DER.
func (a *AWS) Root(t testing.TB) []byte {
	t.Helper()
	root, err := a.root()
	if err != nil {
		t.Fatalf("attesttest: %v", err)
	}
	return root.DER()
}

// Enclave is everything that decides what is sent. Options change it; the order
// of the fields is the order in which they take effect.
type Enclave struct {
	AWS  *AWS
	Kind attest.Kind
	// Chain says how the certificates differ from AWS's.
	Chain awsforge.ChainOptions
	// Certs changes the certificates that were made.
	Certs []func(*awsforge.Chain)
	// Document is what is signed; certificates and user data are filled in before
	// Edit and its own Edit see it.
	Document awsforge.Document
	Edit     []func(*awsforge.Document)
	// Unsigned change the message before it is signed.
	Unsigned []func(*awsforge.Message)
	// Sign signs with the leaf's key unless it is set.
	Sign func(*awsforge.Message, *ecdsa.PrivateKey) error
	// Signed change the message's bytes after it was signed.
	Signed []func([]byte) []byte
}

// EnclaveOption changes an Enclave.
type EnclaveOption func(*Enclave)

// EnclavePCR returns the register that every enclave has at that index unless an
// option says otherwise. PCR0, 1, 2, 4 and 8 are set.
func EnclavePCR(index uint64) [48]byte {
	return sha512.Sum384(fmt.Appendf(nil, "attesttest enclave PCR%d", index))
}

// EnclaveInstance and EnclaveModule are the names of every enclave.
const (
	EnclaveInstance = "i-0a1b2c3d4e5f60718"
	EnclaveModule   = EnclaveInstance + "-enc019b55a68bd2ed4b"
)

// enclave returns a healthy enclave, changed by the options in their order.
func (a *AWS) enclave(opts []EnclaveOption) *Enclave {
	e := &Enclave{
		AWS: a, Kind: attest.Nitro,
		Chain:    awsforge.ChainOptions{Instance: EnclaveInstance, Enclave: "enc019b55a68bd2ed4b", Region: "us-east-1"},
		Document: awsforge.Document{ModuleID: EnclaveModule, Digest: "SHA384", PCRs: make(map[uint64][]byte)},
		Sign:     (*awsforge.Message).Sign,
	}
	for i := range uint64(16) {
		e.Document.PCRs[i] = make([]byte, 48)
		switch i {
		case 0, 1, 2, 4, 8:
			v := EnclavePCR(i)
			e.Document.PCRs[i] = v[:]
		}
	}
	EnclaveAt(Epoch())(e)
	for _, o := range opts {
		o(e)
	}
	return e
}

// EnclaveAt moves the enclave to another time, at which it asks for its
// document. Its certificate began three seconds earlier and ends three hours
// later.
func EnclaveAt(now time.Time) EnclaveOption {
	return func(e *Enclave) {
		e.Chain.Now = now
		e.Document.Timestamp = uint64(now.UnixMilli())
	}
}

// EnclaveKind labels the evidence, truly or not.
func EnclaveKind(k attest.Kind) EnclaveOption { return func(e *Enclave) { e.Kind = k } }

// EditEnclave changes the document before it is encoded.
func EditEnclave(f func(*awsforge.Document)) EnclaveOption {
	return func(e *Enclave) { e.Edit = append(e.Edit, f) }
}

// EditFields changes the document's fields as they are encoded.
func EditFields(f func([]awsforge.Pair) []awsforge.Pair) EnclaveOption {
	return EditEnclave(func(d *awsforge.Document) { d.Edit = f })
}

// EditEnclaveCert changes a certificate of the chain before it is signed.
func EditEnclaveCert(role awsforge.Role, f func(*x509.Certificate)) EnclaveOption {
	return func(e *Enclave) {
		before := e.Chain.Edit
		e.Chain.Edit = func(r awsforge.Role, t *x509.Certificate) {
			if before != nil {
				before(r, t)
			}
			if r == role {
				f(t)
			}
		}
	}
}

// EnclaveCurve puts the key of one certificate on another curve.
func EnclaveCurve(role awsforge.Role, c elliptic.Curve) EnclaveOption {
	return func(e *Enclave) {
		e.Chain.Curve = func(r awsforge.Role) elliptic.Curve {
			if r == role {
				return c
			}
			return nil
		}
	}
}

// EditBundle changes the CA bundle.
func EditBundle(f func([][]byte) [][]byte) EnclaveOption {
	return EditEnclave(func(d *awsforge.Document) { d.CABundle = f(d.CABundle) })
}

// EditMessage changes the COSE message before it is signed.
func EditMessage(f func(*awsforge.Message)) EnclaveOption {
	return func(e *Enclave) { e.Unsigned = append(e.Unsigned, f) }
}

// EditSent changes the bytes after they were signed.
func EditSent(f func([]byte) []byte) EnclaveOption {
	return func(e *Enclave) { e.Signed = append(e.Signed, f) }
}

// SetPCR sets a register; nil removes it.
func SetPCR(index uint64, value []byte) EnclaveOption {
	return EditEnclave(func(d *awsforge.Document) {
		if d.PCRs[index] = value; value == nil {
			delete(d.PCRs, index)
		}
	})
}

// DebugEnclave starts the enclave in debug mode.
func DebugEnclave() EnclaveOption {
	return func(e *Enclave) {
		for i := range uint64(3) {
			SetPCR(i, make([]byte, 48))(e)
		}
	}
}

// EnclavePolicy extends the digest of a box's policy into PCR16 and locks it.
func EnclavePolicy(digest [32]byte) EnclaveOption {
	sum := sha512.Sum384(append(make([]byte, 48), digest[:]...))
	return SetPCR(16, sum[:])
}

// certificates makes the enclave's chain.
func (e *Enclave) certificates() (*awsforge.Chain, error) {
	top, err := e.AWS.root()
	if err != nil {
		return nil, err
	}
	o := e.Chain
	o.Top = top
	chain, err := awsforge.NewChain(o)
	if err != nil {
		return nil, err
	}
	for _, f := range e.Certs {
		f(chain)
	}
	return chain, nil
}

// usual returns certificates that differ from AWS's in nothing, made once for each
// time: keys are slow to make.
func (e *Enclave) usual() (*awsforge.Chain, error) {
	if e.Chain.Edit != nil || e.Chain.Curve != nil || e.Chain.Signer != nil || e.Certs != nil {
		return e.certificates()
	}
	e.AWS.mu.Lock()
	defer e.AWS.mu.Unlock()
	if chain := e.AWS.usual[e.Chain.Now]; chain != nil {
		return chain, nil
	}
	chain, err := e.certificates()
	if err != nil {
		return nil, err
	}
	if e.AWS.usual == nil {
		e.AWS.usual = make(map[time.Time]*awsforge.Chain)
	}
	e.AWS.usual[e.Chain.Now] = chain
	return chain, nil
}

// document makes and signs one document.
func (e *Enclave) document(userData [64]byte, chain *awsforge.Chain) ([]byte, error) {
	d := e.Document
	d.PCRs = make(map[uint64][]byte)
	for i, v := range e.Document.PCRs {
		d.PCRs[i] = v
	}
	d.Certificate, d.CABundle = chain[awsforge.Leaf].DER(), chain.Bundle()
	if d.UserData == nil {
		d.UserData = userData[:]
	}
	for _, f := range e.Edit {
		f(&d)
	}
	m := awsforge.NewMessage(d.Encode())
	for _, f := range e.Unsigned {
		f(m)
	}
	if err := e.Sign(m, chain[awsforge.Leaf].Key); err != nil {
		return nil, err
	}
	data := m.Encode()
	for _, f := range e.Signed {
		data = f(data)
	}
	return data, nil
}

// Make returns what an enclave answers when it asks for userData to be signed.
func (a *AWS) Make(t testing.TB, userData [64]byte, opts ...EnclaveOption) attest.Evidence {
	t.Helper()
	ev, err := a.Attester(opts...).attest(userData)
	if err != nil {
		t.Fatalf("attesttest: %v", err)
	}
	return ev
}

// EnclaveAttester is an enclave as the box in it sees it. It is safe for
// concurrent use; all its documents come with the same certificates.
type EnclaveAttester struct {
	enclave *Enclave
	chain   func() (*awsforge.Chain, error)
}

// Attester returns an enclave. Unless [EnclaveAt] says otherwise it lives at
// [Epoch].
func (a *AWS) Attester(opts ...EnclaveOption) *EnclaveAttester {
	e := a.enclave(opts)
	return &EnclaveAttester{e, sync.OnceValues(e.certificates)}
}

// Kind returns Nitro, or what [EnclaveKind] said.
func (t *EnclaveAttester) Kind() attest.Kind { return t.enclave.Kind }

// Attest answers as the enclave would.
func (t *EnclaveAttester) Attest(ctx context.Context, b attest.Bound) (attest.Evidence, attest.Endorsements, error) {
	if err := ctx.Err(); err != nil {
		return attest.Evidence{}, nil, fmt.Errorf("attesttest: %w", err)
	}
	if b.IsZero() {
		return attest.Evidence{}, nil, errors.New("attesttest: nothing to sign: the bound is zero")
	}
	ev, err := t.attest(b.Bytes())
	return ev, nil, err
}

func (t *EnclaveAttester) attest(userData [64]byte) (attest.Evidence, error) {
	chain, err := t.chain()
	if err != nil {
		return attest.Evidence{}, err
	}
	data, err := t.enclave.document(userData, chain)
	if err != nil {
		return attest.Evidence{}, err
	}
	return attest.Evidence{Kind: t.enclave.Kind, Data: data}, nil
}
