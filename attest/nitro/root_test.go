package nitro

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io/fs"
	"math/big"
	"strings"
	"testing"
	"time"
)

// TestPinned holds that a root that is not the published one is never trusted,
// although it is in the program.
func TestPinned(t *testing.T) {
	if v, err := pinned(awsFiles, "roots/other.der", awsRootSHA256); v != nil || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if v, err := pinned(awsFiles, awsRootFile, strings.Repeat("0", 64)); v != nil || err == nil || !strings.Contains(err.Error(), "SHA-256") {
		t.Errorf("another file: %v", err)
	}
}

func TestRootOfAnotherKind(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "aws.nitro-enclaves"}, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0),
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	if root, err := parseRoot(der); root != nil || err == nil || !strings.Contains(err.Error(), "Ed25519") {
		t.Errorf("root %v, error %v", root, err)
	}
}
