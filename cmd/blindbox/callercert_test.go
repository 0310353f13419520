package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certificates writes a caller's certificate under a new authority, and its key; it
// returns the digest of the authority.
func certificates(t *testing.T, dir string) (cert, key, ca string) {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	authority, private := signedBy(t, template, nil, nil)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "clinic"}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, NotBefore: template.NotBefore, NotAfter: template.NotAfter,
	}
	own, ownKey := signedBy(t, leaf, authority, private)
	der, err := x509.MarshalPKCS8PrivateKey(ownKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	chain := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: own.Raw}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.Raw})...)
	for file, data := range map[string][]byte{cert: chain, key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})} {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key, fmt.Sprintf("sha256:%x", sha256.Sum256(authority.Raw))
}

func signedBy(t *testing.T, template, by *x509.Certificate, key *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if by == nil {
		by, key = template, own
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by, own.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, own
}

// TestOperatorCertificate: operate is known by a certificate, and by nothing without
// it.
func TestOperatorCertificate(t *testing.T) {
	home := t.TempDir()
	cert, key, ca := certificates(t, home)
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	program, err := exec.LookPath("app")
	if err != nil {
		t.Fatal(err)
	}
	file, trust := filepath.Join(home, "box.yaml"), filepath.Join(home, "trust.yaml")
	doc := fmt.Sprintf("name: m\napp: {command: [%q, %q], listen: %q}\noperators:\n  - {name: oncall, certificate: {ca: %q, subject: clinic}, may: [restart]}\n", program, addr, addr, ca)
	if err := os.WriteFile(file, []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"BLINDBOX_HOME": home, "PATH": os.Getenv("PATH"), "HOME": home}
	url := start(t, env, "dev", "-f", file, "--listen", "127.0.0.1:0", "--trust-out", trust).text(t, "url")
	for _, c := range []struct {
		name  string
		flags []string
		exit  int
		want  string
	}{
		{"with", []string{"--cert", cert, "--key", key}, 0, "restarted"},
		{"without", nil, 1, "BBX-401"},
		{"no key", []string{"--cert", cert}, 1, "--cert and --key, expected both or none"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			exit, bad := operates(t.Context(), url, trust, env, strings.NewReader(""), &out, append([]string{"restart"}, c.flags...)...)
			if exit != c.exit || !strings.Contains(out.String()+bad, c.want) {
				t.Errorf("exit code %d, expected %d and %s\n%s%s", exit, c.exit, c.want, out.String(), bad)
			}
		})
	}
}

// TestCallerCertificate: curl and connect are known by a certificate, and by nothing
// without it.
func TestCallerCertificate(t *testing.T) {
	home := t.TempDir()
	cert, key, ca := certificates(t, home)
	_, otherKey, _ := certificates(t, t.TempDir())
	file, trust := filepath.Join(home, "box.yaml"), filepath.Join(home, "trust.yaml")
	doc := fmt.Sprintf("name: m\nmodels: [{name: tumour, builtin: tumour}]\ncallers:\n  - {name: clinic, certificate: {ca: %q, subject: clinic}, may: [query]}\n", ca)
	if err := os.WriteFile(file, []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"BLINDBOX_HOME": home, "PATH": os.Getenv("PATH"), "HOME": home}
	box := start(t, env, "dev", "-f", file, "--listen", "127.0.0.1:0", "--trust-out", trust)
	url := box.text(t, "url")
	for _, c := range []struct {
		name  string
		flags []string
		exit  int
		want  string
	}{
		{"with", []string{"--cert", cert, "--key", key}, 0, "HTTP/2 200"},
		{"without", nil, 0, "HTTP/2 401"},
		{"no key", []string{"--cert", cert}, 1, "--cert and --key, expected both or none"},
		{"no certificate", []string{"--key", key}, 1, "--cert and --key, expected both or none"},
		{"another's key", []string{"--cert", cert, "--key", otherKey}, 1, "private key does not match"},
		{"no file", []string{"--cert", home + "/none", "--key", key}, 1, "no such file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out, stderr bytes.Buffer
			args := append([]string{"curl", "-i", "--trust", trust}, append(c.flags, url+"/v2/models/tumour")...)
			exit := run(t.Context(), session{args: args, stdin: strings.NewReader(""), stdout: &out, stderr: &stderr, env: func(n string) string { return env[n] }, now: time.Now})
			if exit != c.exit || !strings.Contains(out.String()+stderr.String(), c.want) {
				t.Errorf("exit code %d, expected %d and %s\n%s%s", exit, c.exit, c.want, out.String(), stderr.String())
			}
		})
	}
	proxy := start(t, env, "connect", "--listen", "127.0.0.1:0", "--trust", trust, "--cert", cert, "--key", key, url)
	resp, err := http.Get(proxy.text(t, "local") + "/v2/models/tumour")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("through connect: %s", resp.Status)
	}
	if caller, ok := proxy.document["caller"].(map[string]any); !ok || caller["name"] != "clinic" || fmt.Sprint(caller["may"]) != "[query]" {
		t.Errorf("connect says %v", proxy.document["caller"])
	}
	stranger, strangersKey, _ := certificates(t, t.TempDir())
	other := start(t, env, "connect", "--listen", "127.0.0.1:0", "--trust", trust, "--cert", stranger, "--key", strangersKey, url)
	if caller, ok := other.document["caller"].(map[string]any); !ok || !strings.Contains(fmt.Sprint(caller["text"]), "knows nobody by your certificate") {
		t.Errorf("connect says %v", other.document["caller"])
	}
}
