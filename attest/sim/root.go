package sim

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/internal/amdforge"
)

// mark is in the name of every certificate that is made here, so that nobody
// who looks at one takes it for AMD's.
const mark = "SIMULATED"

const (
	organization = mark + ", made on somebody's own machine"
	unit         = "BlindBox simulation, no hardware"
)

// Root certificates are valid for ten years, beginning a day before they were
// made so that clocks may differ.
const (
	rootYears = 10
	slack     = 24 * time.Hour
)

// Root is a simulated AMD: root and intermediate certificate with their keys.
// It is immutable and safe for concurrent use.
type Root struct {
	chain *amdforge.Chain
}

// NewRoot makes a Root. It takes a fraction of a second. The randomness may be
// nil for crypto/rand; since Go 1.26 the standard library makes keys from its
// own in any case.
func NewRoot(random io.Reader, now time.Time) (*Root, error) {
	if now.IsZero() {
		return nil, errors.New("sim: no time given for the root's validity")
	}
	chain, err := amdforge.NewChain(amdforge.ChainOptions{
		Line: amdforge.Genoa, Rand: random, NoASVK: true, NoDistributionPoint: true,
		NotBefore: now.Add(-slack), NotAfter: now.AddDate(rootYears, 0, 0),
		Organization: organization, OrganizationalUnit: unit, NamePrefix: mark + "-",
	})
	if err != nil {
		return nil, fmt.Errorf("sim: make root: %w", err)
	}
	return &Root{chain}, nil
}

// Fingerprint is SHA-256 over the root certificate, DER; a relying party pins
// it.
func (r *Root) Fingerprint() attest.Digest { return sha256.Sum256(r.chain.ARK.DER()) }

// Certificate returns the root certificate, DER.
func (r *Root) Certificate() []byte { return bytes.Clone(r.chain.ARK.DER()) }

// chipID is the hardware id of the one simulated chip of a root.
func (r *Root) chipID() [64]byte {
	return sha512.Sum512(append([]byte("blindbox/sim/chip/v1"), r.chain.ARK.DER()...))
}

// Measure returns a simulated launch measurement: SHA-384 over a label and over
// each part behind its length. The parts are whatever stands for the code that
// runs; nobody checks that it does.
func Measure(parts ...[]byte) [48]byte {
	h := sha512.New384()
	h.Write([]byte("blindbox/sim/measurement/v1"))
	for _, p := range parts {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(p))))
		h.Write(p)
	}
	return [48]byte(h.Sum(nil))
}

// warning opens the file that a Root is kept in.
const warning = "SIMULATED hardware root of BlindBox. It proves nothing about any machine.\n" +
	"Whoever can read this file can claim to be any simulated box that trusts it.\n\n"

const (
	blockCertificate = "CERTIFICATE"
	blockKey         = "PRIVATE KEY"
)

// encode returns the file: the warning, then certificate and key of the root
// and of the intermediate.
func (r *Root) encode() ([]byte, error) {
	out := []byte(warning)
	for _, ca := range []*amdforge.CA{r.chain.ARK, r.chain.ASK} {
		key, err := x509.MarshalPKCS8PrivateKey(ca.Key)
		if err != nil {
			return nil, fmt.Errorf("sim: encode key: %w", err)
		}
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: blockCertificate, Bytes: ca.DER()})...)
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: blockKey, Bytes: key})...)
	}
	return out, nil
}

// parseRoot accepts exactly what encode returns, from a root that still holds
// together and is valid at the time given.
func parseRoot(data []byte, now time.Time) (*Root, error) {
	rest, ok := bytes.CutPrefix(data, []byte(warning))
	if !ok {
		return nil, errors.New("does not begin as the file of a simulated root")
	}
	ark, rest, err := parseCA(rest)
	if err != nil {
		return nil, fmt.Errorf("root: %w", err)
	}
	ask, _, err := parseCA(rest)
	if err != nil {
		return nil, fmt.Errorf("intermediate: %w", err)
	}
	r := &Root{&amdforge.Chain{Line: amdforge.Genoa, ARK: ark, ASK: ask}}
	// One comparison refuses everything that PEM and PKCS #8 leave open.
	again, err := r.encode()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, data) {
		return nil, errors.New("is not in its only encoding")
	}
	if err := r.check(now); err != nil {
		return nil, err
	}
	return r, nil
}

func parseCA(data []byte) (*amdforge.CA, []byte, error) {
	certBlock, rest := pem.Decode(data)
	if certBlock == nil || certBlock.Type != blockCertificate {
		return nil, nil, fmt.Errorf("expected a PEM block %q", blockCertificate)
	}
	cert, err := x509.ParseCertificate(certBlock.Bytes)
	if err != nil {
		return nil, nil, err
	}
	keyBlock, rest := pem.Decode(rest)
	if keyBlock == nil || keyBlock.Type != blockKey {
		return nil, nil, fmt.Errorf("expected a PEM block %q", blockKey)
	}
	key, err := x509.ParsePKCS8PrivateKey(keyBlock.Bytes)
	if err != nil {
		return nil, nil, err
	}
	rsaKey, ok := key.(*rsa.PrivateKey)
	if !ok || !rsaKey.PublicKey.Equal(cert.PublicKey) {
		return nil, nil, fmt.Errorf("the key is not that of the certificate %q", cert.Subject.CommonName)
	}
	return &amdforge.CA{Cert: cert, Key: rsaKey}, rest, nil
}

// check refuses a root that no verifier would accept, so that the message
// names the file and not some connection later.
func (r *Root) check(now time.Time) error {
	ark, ask := r.chain.ARK.Cert, r.chain.ASK.Cert
	if err := ark.CheckSignatureFrom(ark); err != nil {
		return fmt.Errorf("root: %w", err)
	}
	if err := ask.CheckSignatureFrom(ark); err != nil {
		return fmt.Errorf("intermediate: %w", err)
	}
	for _, cert := range []*x509.Certificate{ark, ask} {
		if !strings.HasPrefix(cert.Subject.CommonName, mark) {
			return fmt.Errorf("certificate %q is not called %s", cert.Subject.CommonName, mark)
		}
		if now.Before(cert.NotBefore) || now.After(cert.NotAfter) {
			return fmt.Errorf("certificate %q is valid from %s to %s, now is %s", cert.Subject.CommonName,
				cert.NotBefore.Format(time.DateOnly), cert.NotAfter.Format(time.DateOnly), now.UTC().Format(time.DateOnly))
		}
	}
	return nil
}
