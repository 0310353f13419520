package pki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/blindbox/blindbox/attest"
)

// CodeBadKey is given to a certificate whose key is not of the kind that the
// vendor uses. Such keys are refused before anything is verified with them: a
// P-521 verification takes 4 ms, which is a lever for whoever sends many.
const CodeBadKey attest.Code = "bad_key"

// MaxRSABits is the largest RSA key that is verified with.
const MaxRSABits = 4096

// Path is a vendor's documented form of a certificate chain. The zero Path
// refuses every chain.
type Path struct {
	// Root is the pinned certificate. A chain must end in exactly these bytes.
	Root *x509.Certificate
	// Algorithm is that of every signature in the chain.
	Algorithm x509.SignatureAlgorithm
	// Curve is that of every key. Nil means RSA keys of at least RSABits bits.
	Curve   elliptic.Curve
	RSABits int
	// Length is the number of certificates, leaf and root included; zero means any
	// from 2 to MaxPath.
	Length int
	// Critical are extensions that the caller reads and enforces, besides basic
	// constraints and key usage, which are enforced here.
	Critical []asn1.ObjectIdentifier
	// Known are certificates whose signature by Root the caller has verified
	// before, so that it is not verified again where they stand below Root. They
	// are recognised by being the same object, and must fit all other rules.
	Known []*x509.Certificate
	// LeafIssues accepts a leaf that is itself a CA, as in chains of DICE layers.
	LeafIssues bool
	// LeafUsage is what the leaf's key must be for; zero means to sign. The
	// endorsement keys of TPMs can only decrypt: for one of them any of the bits is
	// enough.
	LeafUsage x509.KeyUsage
}

// MaxPath is the most certificates of a chain.
const MaxPath = 10

// Check looks at a chain, leaf first, and returns nil if it is good. Names, CA
// bits, usages, path lengths and kinds of keys are compared before the first
// signature is verified. It does not look at the dates; see [CheckValidity].
func (p Path) Check(chain []*x509.Certificate) *Problem {
	if problem := p.CheckForm(chain); problem != nil {
		return problem
	}
	return p.CheckSignatures(chain)
}

// CheckForm is the part of Check that verifies no signature.
func (p Path) CheckForm(chain []*x509.Certificate) *Problem {
	if problem := p.checkEnds(chain); problem != nil {
		return problem
	}
	for i, cert := range chain {
		if problem := p.checkForm(cert, i, chain); problem != nil {
			return problem
		}
	}
	return nil
}

// CheckSignatures is the rest of Check, for a chain whose form is good or for
// neighbours in one: the signature on each certificate but the last.
func (p Path) CheckSignatures(chain []*x509.Certificate) *Problem {
	// From the root down, so that no key is used before somebody vouches for it: a
	// chain of a stranger's own keys costs one verification, not one for each.
	for i := len(chain) - 2; i >= 0; i-- {
		cert := chain[i]
		if chain[i+1] == p.Root && slices.Contains(p.Known, cert) {
			continue
		}
		if err := chain[i+1].CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature); err != nil {
			return &Problem{attest.CodeUntrustedRoot, name(cert) + " is not signed by " + name(chain[i+1]), "signed by its issuer"}
		}
	}
	return nil
}

// checkEnds establishes that there is a chain at all and that it ends in the
// pinned certificate. A chain that brings another root is told apart from one
// that is out of order.
func (p Path) checkEnds(chain []*x509.Certificate) *Problem {
	if p.Root == nil || p.Algorithm == x509.UnknownSignatureAlgorithm || (p.Curve == nil) == (p.RSABits == 0) {
		return &Problem{attest.CodeUntrustedRoot, "no root, algorithm or kind of key to trust", "all three"}
	}
	least, most := 2, MaxPath
	if p.Length != 0 {
		least, most = p.Length, p.Length
	}
	if len(chain) < least || len(chain) > most {
		return &Problem{attest.CodeBadChain, fmt.Sprintf("%d certificates", len(chain)), fmt.Sprintf("%d to %d", least, most)}
	}
	for i, cert := range chain {
		last := i == len(chain)-1
		pinned := cert != nil && bytes.Equal(cert.Raw, p.Root.Raw)
		switch {
		case cert == nil:
			return &Problem{attest.CodeBadChain, fmt.Sprintf("no certificate at place %d", i+1), "a certificate"}
		case last && !pinned:
			return &Problem{attest.CodeUntrustedRoot, "chain ends in " + name(cert), "the pinned " + name(p.Root)}
		case !last && pinned:
			return &Problem{attest.CodeBadChain, fmt.Sprintf("the root at place %d of %d", i+1, len(chain)), "at the end"}
		case !last && bytes.Equal(cert.RawIssuer, cert.RawSubject):
			return &Problem{attest.CodeUntrustedRoot, name(cert) + " names itself as its issuer", "one root, the pinned " + name(p.Root)}
		}
	}
	return nil
}

// checkForm compares the certificate at place i with what may stand there.
func (p Path) checkForm(cert *x509.Certificate, i int, chain []*x509.Certificate) *Problem {
	if i+1 < len(chain) && !bytes.Equal(cert.RawIssuer, chain[i+1].RawSubject) {
		return &Problem{attest.CodeBadChain, name(cert) + " is issued by " + Brief(cert.Issuer.CommonName), "by " + name(chain[i+1])}
	}
	if cert.SignatureAlgorithm != p.Algorithm {
		return &Problem{attest.CodeBadChain, name(cert) + " is signed with " + cert.SignatureAlgorithm.String(), p.Algorithm.String()}
	}
	if !p.fits(cert) {
		return &Problem{CodeBadKey, name(cert) + " has a key of " + KeyKind(cert), p.keyKind()}
	}
	if oid := p.unknownCritical(cert); oid != nil {
		return &Problem{attest.CodeBadChain, fmt.Sprintf("critical extension %v of %s", oid, name(cert)), "none that is not understood"}
	}
	if i == 0 && !p.LeafIssues {
		return checkLeaf(cert, p.LeafUsage)
	}
	if i == 0 {
		return nil
	}
	return checkCA(cert, i-1)
}

// checkLeaf refuses a leaf that could issue certificates or may not sign.
func checkLeaf(cert *x509.Certificate, usage x509.KeyUsage) *Problem {
	seen := ""
	if usage == 0 {
		usage = x509.KeyUsageDigitalSignature
	}
	switch {
	case cert.IsCA:
		seen = "is a CA"
	case cert.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) != 0:
		seen = "has the key usage of a CA"
	case cert.KeyUsage&usage == 0:
		seen = "may not sign (key usage)"
	default:
		return nil
	}
	return &Problem{attest.CodeBadChain, name(cert) + " " + seen, "a certificate that signs and issues none"}
}

// checkCA refuses an issuer that is no CA or has too many CAs below it. A path
// length of 0 counts only if it was written out (RFC 5280, 4.2.1.9).
func checkCA(cert *x509.Certificate, below int) *Problem {
	limited := cert.MaxPathLen > 0 || cert.MaxPathLen == 0 && cert.MaxPathLenZero
	seen := ""
	switch {
	case !cert.BasicConstraintsValid || !cert.IsCA:
		seen = "is not a CA"
	case cert.KeyUsage&x509.KeyUsageCertSign == 0:
		seen = "may not sign certificates (key usage)"
	case limited && below > cert.MaxPathLen:
		seen = fmt.Sprintf("has %d CAs below it and a path length of %d", below, cert.MaxPathLen)
	default:
		return nil
	}
	return &Problem{attest.CodeBadChain, name(cert) + " " + seen, "a CA that may issue what follows"}
}

// fits reports whether the certificate's key is of the kind that p demands.
func (p Path) fits(cert *x509.Certificate) bool {
	switch key := cert.PublicKey.(type) {
	case *ecdsa.PublicKey:
		return p.Curve != nil && key.Curve == p.Curve
	case *rsa.PublicKey:
		return p.Curve == nil && key.N.BitLen() >= p.RSABits && key.N.BitLen() <= MaxRSABits
	}
	return false
}

func (p Path) keyKind() string {
	if p.Curve != nil {
		return "ECDSA " + p.Curve.Params().Name
	}
	return fmt.Sprintf("RSA, %d to %d bits", p.RSABits, MaxRSABits)
}

// KeyKind names the kind of a certificate's key: "ECDSA P-256", "RSA 2048".
func KeyKind(cert *x509.Certificate) string {
	switch key := cert.PublicKey.(type) {
	case *ecdsa.PublicKey:
		return "ECDSA " + key.Curve.Params().Name
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", key.N.BitLen())
	}
	return cert.PublicKeyAlgorithm.String()
}

// Extensions that this package enforces itself (RFC 5280, 4.2.1.3 and 4.2.1.9).
var (
	oidKeyUsage         = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidBasicConstraints = asn1.ObjectIdentifier{2, 5, 29, 19}
)

// unknownCritical returns a critical extension that nobody enforces. The list
// that crypto/x509 keeps is not enough: it takes some to be handled, such as name
// constraints, that only its own path building handles.
func (p Path) unknownCritical(cert *x509.Certificate) asn1.ObjectIdentifier {
	for _, x := range cert.Extensions {
		enforced := x.Id.Equal(oidKeyUsage) || x.Id.Equal(oidBasicConstraints) || slices.ContainsFunc(p.Critical, x.Id.Equal)
		if x.Critical && !enforced {
			return x.Id
		}
	}
	return nil
}

func name(cert *x509.Certificate) string { return Brief(cert.Subject.CommonName) }

// Span returns the time in which all of the certificates are valid; the zero
// Validity, which contains nothing, for none.
func Span(certs ...*x509.Certificate) attest.Validity {
	var v attest.Validity
	for i, cert := range certs {
		span := attest.Validity{NotBefore: cert.NotBefore, NotAfter: cert.NotAfter}
		if i == 0 {
			v = span
		}
		v = Narrow(v, span)
	}
	return v
}

// Narrow returns the time that lies in both a and b.
func Narrow(a, b attest.Validity) attest.Validity {
	if b.NotBefore.After(a.NotBefore) {
		a.NotBefore = b.NotBefore
	}
	if b.NotAfter.Before(a.NotAfter) {
		a.NotAfter = b.NotAfter
	}
	return a
}

// CheckValidity judges whether every certificate is valid at the time given and
// names those that are not.
func CheckValidity(checkName string, at time.Time, certs ...*x509.Certificate) attest.Check {
	span := Span(certs...)
	if span.Contains(at) {
		return Judge(checkName, true, "", Date(span.NotBefore)+" to "+Date(span.NotAfter), "")
	}
	var bad []string
	for _, cert := range certs {
		if at.Before(cert.NotBefore) || at.After(cert.NotAfter) {
			bad = append(bad, fmt.Sprintf("%s is valid from %s to %s", name(cert), Date(cert.NotBefore), Date(cert.NotAfter)))
		}
	}
	return Judge(checkName, false, attest.CodeExpired, strings.Join(bad, ", "), "valid at "+Date(at))
}
