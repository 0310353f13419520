package atls

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"time"

	"github.com/blindbox/blindbox/attest"
)

// exporterLabel is the label under which both ends derive the value that names
// the connection (RFC 8446, section 7.5).
const exporterLabel = "EXPORTER-blindbox-attest-v1"

// channel is one TLS connection as the gate sees it.
type channel struct {
	rw io.ReadWriter
	// export derives 32 bytes that only the two ends of this connection know,
	// under the nonce given.
	export func(nonce [32]byte) ([32]byte, error)
	// own and peer are the SPKI hashes of the two TLS keys, zero where an end
	// showed no certificate.
	own, peer attest.Digest
	// expect is told how many bytes of a message are still to come, so that
	// they may be read; nil if nobody counts.
	expect func(size int)
}

func newChannel(conn *tls.Conn, own attest.Digest) channel {
	state := conn.ConnectionState()
	ch := channel{rw: conn, own: own, export: func(nonce [32]byte) ([32]byte, error) {
		return export(&state, nonce)
	}}
	if len(state.PeerCertificates) > 0 {
		ch.peer = spkiOf(state.PeerCertificates[0])
	}
	return ch
}

func export(state *tls.ConnectionState, nonce [32]byte) ([32]byte, error) {
	b, err := state.ExportKeyingMaterial(exporterLabel, nonce[:], 32)
	if err != nil {
		return [32]byte{}, fmt.Errorf("atls: tls exporter: %w", err)
	}
	return [32]byte(b), nil
}

func spkiOf(cert *x509.Certificate) attest.Digest {
	return sha256.Sum256(cert.RawSubjectPublicKeyInfo)
}

// baseConfig is what both ends insist on.
func baseConfig(nextProtos []string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		MaxVersion: tls.VersionTLS13,
		// Post-quantum first: what is recorded today is to stay closed.
		CurvePreferences: []tls.CurveID{tls.X25519MLKEM768, tls.X25519},
		NextProtos:       nextProtos,
		// A resumed connection would rest on the evidence of another one.
		SessionTicketsDisabled: true,
	}
}

// checkState refuses a connection on which the gate would prove nothing. It
// runs inside the handshake and once more after it: what the configuration
// asked for is not taken for granted.
func checkState(state tls.ConnectionState) error {
	switch {
	case state.Version != tls.VersionTLS13:
		return attest.NewFailure("channel.tls_version", attest.CodeNoAttestation, tls.VersionName(state.Version), "TLS 1.3")
	case state.DidResume:
		return attest.NewFailure("channel.tls_resumption", attest.CodeNoAttestation, "a resumed TLS session", "a handshake of its own for each connection")
	}
	return nil
}

// What a caller's own certificate may be. Whoever reaches the box can send one and
// have its signature verified: 1.4 ms with P-521 and 1.8 ms with RSA of 8192 bits,
// where P-384 and RSA of 4096 bits take 0.5 ms and P-256 takes 0.07 ms.
const (
	maxCertificates = 8 // of a caller's chain, its own included
	minRSA          = 2048
	maxRSA          = 4096
)

// checkCallerState is checkState for the box. crypto/tls asks it before it verifies
// the caller's signature, and once more afterwards.
func checkCallerState(state tls.ConnectionState) error {
	if err := checkState(state); err != nil {
		return err
	}
	switch n := len(state.PeerCertificates); {
	case n == 0:
		return nil
	case n > maxCertificates:
		return fmt.Errorf("atls: %d certificates of the caller, expected at most %d", n, maxCertificates)
	}
	return checkCallerKey(state.PeerCertificates[0].PublicKey)
}

func checkCallerKey(key any) error {
	seen := fmt.Sprintf("%T", key)
	switch key := key.(type) {
	case ed25519.PublicKey:
		return nil
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() || key.Curve == elliptic.P384() {
			return nil
		}
		seen = "on the curve " + key.Curve.Params().Name
	case *rsa.PublicKey:
		n := key.N.BitLen()
		if minRSA <= n && n <= maxRSA {
			return nil
		}
		seen = fmt.Sprintf("of RSA with %d bits", n)
	}
	return fmt.Errorf("atls: the caller's certificate has a key %s, expected P-256, P-384, Ed25519, or RSA with %d to %d bits", seen, minRSA, maxRSA)
}

// checkServerState is checkState for the client, who also needs a key to hold
// the evidence against.
func checkServerState(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return attest.NewFailure("channel.tls_key", attest.CodeNoAttestation, "no certificate", "the box's TLS key")
	}
	return checkState(state)
}

// tlsKey is a TLS key that was made in this process and never leaves it.
type tlsKey struct {
	cert tls.Certificate
	spki attest.Digest
}

// newTLSKey makes a P-256 key and the certificate that TLS wants to see with
// it. The certificate is signed by itself and proves nothing: the evidence
// names the key. Its dates are those that RFC 5280, section 4.1.2.5 has for
// "no date", so no clock is asked.
func newTLSKey() (*tlsKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("atls: making a tls key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "blindbox: see the evidence"},
		NotBefore:    time.Unix(0, 0).UTC(),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("atls: making a certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("atls: reading back our certificate: %w", err)
	}
	cert := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
	return &tlsKey{cert: cert, spki: spkiOf(leaf)}, nil
}
