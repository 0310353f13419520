package tdx_test

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	peer "github.com/google/go-tdx-guest/verify"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest/dcaptest"
	"github.com/blindbox/blindbox/attest/tdx"
)

// benchCapture is a v4 quote with its full collateral and both CRLs. Of those
// that we have it is the only one that the peer accepts: it compares FMSPCs in
// hex with regard to case.
func benchCapture(t testing.TB) dcaptest.Capture { return quotes().Capture(t, "v4-debug") }

// peerGetter gives the peer the same collateral as ours, from memory, in the
// place of Intel's service.
type peerGetter map[string]peerAnswer

type peerAnswer struct {
	header map[string][]string
	body   []byte
}

func (g peerGetter) Get(address string) (map[string][]string, []byte, error) {
	for part, answer := range g {
		if strings.Contains(address, part) {
			return answer.header, answer.body, nil
		}
	}
	return nil, nil, fmt.Errorf("nothing at %s", address)
}

const begin = "-----BEGIN"

// newPeerGetter turns Endorsements into the service's answers.
func newPeerGetter(t testing.TB, ev attest.Evidence, end attest.Endorsements) peerGetter {
	t.Helper()
	get := func(label string) []byte {
		data, _, err := end.Get(label)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	chain := func(name string, value []byte) map[string][]string {
		return map[string][]string{name: {url.QueryEscape(string(value))}}
	}
	var issuers []byte
	if pck, err := tdx.PCKChain(ev); err == nil {
		issuers = pck.Data[len(begin)+bytes.Index(pck.Data[len(begin):], []byte(begin)):]
	}
	root := peerAnswer{nil, get(attest.LabelIntelRootCRL)}
	signing := get(attest.LabelIntelTCBChain)
	return peerGetter{
		"/tcb?":        {chain("Tcb-Info-Issuer-Chain", signing), get(attest.LabelIntelTCBInfo)},
		"/qe/identity": {chain("Sgx-Enclave-Identity-Issuer-Chain", signing), get(attest.LabelIntelQEIdentity)},
		"/pckcrl?":     {chain("Sgx-Pck-Crl-Issuer-Chain", bytes.TrimRight(issuers, "\x00")), get(attest.LabelIntelPCKCRL)},
		"IntelSGXRoot": root,
	}
}

// intelPool is the root that the peer trusts; with none given it logs a warning
// at each call.
func intelPool(t testing.TB, c dcaptest.Capture) *x509.CertPool {
	t.Helper()
	pck, err := tdx.PCKChain(quotes().Evidence(t, c))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pck.Data[bytes.LastIndex(pck.Data, []byte(begin)):])
	return pool
}

func peerVerify(g peerGetter, roots *x509.CertPool, at time.Time, quote []byte) error {
	return peer.RawTdxQuote(quote, &peer.Options{CheckRevocations: true, GetCollateral: true, Getter: g, Now: at, TrustedRoots: roots})
}

// BenchmarkVerify compares with the best known public library, from the same
// bytes and with the same checks as far as it makes them.
func BenchmarkVerify(b *testing.B) {
	c := benchCapture(b)
	quotes().BenchmarkVerify(b, c)
	ev, end := quotes().Evidence(b, c), quotes().Endorsements(b, c)
	b.Run("go-tdx-guest", func(b *testing.B) {
		g, roots, quote := newPeerGetter(b, ev, end), intelPool(b, c), ev.Data
		b.ReportAllocs()
		for b.Loop() {
			if err := peerVerify(g, roots, c.At, quote); err != nil {
				b.Fatal(err)
			}
		}
	})
}
