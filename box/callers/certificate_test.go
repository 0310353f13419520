package callers

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"
)

// issuing is a certificate with its key.
type issuing struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// issue makes a certificate; nil as its issuer means itself.
func issue(t testing.TB, by *issuing, edit func(*x509.Certificate)) *issuing {
	t.Helper()
	key := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	at := newClock().now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "name"},
		NotBefore: at.Add(-time.Hour), NotAfter: at.Add(time.Hour), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if edit != nil {
		edit(template)
	}
	if by == nil {
		by = &issuing{template, key}
	}
	der := must[[]byte](t)(x509.CreateCertificate(rand.Reader, template, by.cert, key.Public(), by.key))
	return &issuing{must[*x509.Certificate](t)(x509.ParseCertificate(der)), key}
}

func authority(c *x509.Certificate) {
	c.Subject.CommonName, c.IsCA, c.KeyUsage, c.ExtKeyUsage = "authority", true, x509.KeyUsageCertSign, nil
}

func fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func uris(texts ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		for _, text := range texts {
			u, err := url.Parse(text)
			if err == nil {
				c.URIs = append(c.URIs, u)
			}
		}
	}
}

func with(chain ...*issuing) func(*http.Request) {
	return func(r *http.Request) {
		r.TLS = &tls.ConnectionState{}
		for _, c := range chain {
			r.TLS.PeerCertificates = append(r.TLS.PeerCertificates, c.cert)
		}
	}
}

const spiffe = "spiffe://clinic.example/app"

// TestCertificates: each chain but the first of each kind is wrong in one thing.
func TestCertificates(t *testing.T) {
	c := newClock()
	ca := issue(t, nil, authority)
	other := issue(t, nil, authority) // of the same name
	between := issue(t, ca, func(x *x509.Certificate) { authority(x); x.Subject.CommonName = "between" })
	stale := issue(t, ca, func(x *x509.Certificate) { authority(x); x.NotAfter = c.now().Add(-time.Second) })
	noCA := issue(t, ca, nil)
	notAnAuthority := issue(t, nil, nil)
	expiredCA := issue(t, nil, func(x *x509.Certificate) { authority(x); x.NotAfter = c.now().Add(-time.Second) })
	onlyNames := issue(t, nil, func(x *x509.Certificate) {
		authority(x)
		x.PermittedURIDomains = []string{"other.example"}
	})
	signsOnly := issue(t, nil, func(x *x509.Certificate) { authority(x); x.IsCA = false })
	weakUse := issue(t, nil, func(x *x509.Certificate) { authority(x); x.KeyUsage = x509.KeyUsageCRLSign })
	doc := app + "  - {name: all, certificate: {ca: " + fingerprint(ca.cert) + "}, may: [query]}\n" +
		"  - {name: named, certificate: {ca: " + fingerprint(ca.cert) + ", subject: Dr. Who}, may: [query]}\n" +
		"  - {name: workload, certificate: {ca: " + fingerprint(ca.cert) + ", spiffe: \"" + spiffe + "\"}, may: [query]}\n" +
		"  - {name: expires, certificate: {ca: " + fingerprint(ca.cert) + ", subject: guest}, may: [query], expires: 2026-06-01T12:00:00Z}\n"
	for i, root := range []*issuing{expiredCA, onlyNames, notAnAuthority, weakUse, signsOnly} {
		doc += "  - {name: bad" + string(rune('0'+i)) + ", certificate: {ca: " + fingerprint(root.cert) + "}, may: [query]}\n"
	}
	narrow := app + "  - {name: named, certificate: {ca: " + fingerprint(ca.cert) + ", subject: Dr. Who}, may: [query]}\n" +
		"  - {name: workload, certificate: {ca: " + fingerprint(ca.cert) + ", spiffe: \"" + spiffe + "\"}, may: [query]}\n"
	leaf := func(by *issuing, edits ...func(*x509.Certificate)) *issuing {
		return issue(t, by, func(x *x509.Certificate) {
			for _, edit := range edits {
				edit(x)
			}
		})
	}
	common := func(names ...string) func(*x509.Certificate) {
		return func(x *x509.Certificate) {
			x.Subject = pkix.Name{}
			for _, n := range names {
				x.Subject.ExtraNames = append(x.Subject.ExtraNames, pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: n})
			}
		}
	}
	usage := func(u x509.KeyUsage, e ...x509.ExtKeyUsage) func(*x509.Certificate) {
		return func(x *x509.Certificate) { x.KeyUsage, x.ExtKeyUsage = u, e }
	}
	const sig, client = x509.KeyUsageDigitalSignature, x509.ExtKeyUsageClientAuth
	long := []*issuing{leaf(ca)}
	for range 7 {
		long = append(long, between)
	}
	const (
		unchained = "401 The TLS client certificate is not accepted: no chain of"
		untimely  = "401 The TLS client certificate is not accepted: it, or a certificate of its chain, has expired or is not valid yet"
		unnamed   = "401 The TLS client certificate is not accepted: the policy knows its authority, and nobody of that name"
		nothing   = "401 There is no API key"
	)
	for _, tc := range []struct {
		name, doc string
		chain     []*issuing
		want      string
	}{
		{"direct", doc, []*issuing{leaf(ca), ca}, "all"},
		{"by another in between", doc, []*issuing{leaf(between), between, ca}, "all"},
		{"in another order", doc, []*issuing{leaf(between), ca, between}, "all"},
		{"no extended usage", doc, []*issuing{leaf(ca, usage(sig)), ca}, "all"},
		{"no usage at all", doc, []*issuing{leaf(ca, usage(0)), ca}, "all"},
		{"the authority is not sent", doc, []*issuing{leaf(ca)}, nothing},
		{"another authority of the same name", doc, []*issuing{leaf(other), other}, nothing},
		{"another authority, and this one sent", doc, []*issuing{leaf(other), other, ca}, unchained},
		{"another authority, and only this one sent", doc, []*issuing{leaf(other), ca}, unchained},
		{"the one in between is missing", doc, []*issuing{leaf(between), ca}, unchained},
		{"issued by a certificate that is no authority", doc, []*issuing{leaf(noCA), noCA, ca}, unchained},
		{"the authority itself", doc, []*issuing{ca}, nothing},
		{"the authority twice", doc, []*issuing{ca, ca}, "401 The TLS client certificate is not accepted: it is that of an authority"},
		{"an authority in between as a client", doc, []*issuing{between, ca}, "that of an authority"},
		{"nothing", doc, nil, nothing},
		{"as long as can be", doc, append(long[:7:7], ca), "all"},
		{"too long", doc, append(long, ca), "its chain is too long"},
		{"for servers", doc, []*issuing{leaf(ca, usage(sig, x509.ExtKeyUsageServerAuth)), ca}, unchained},
		{"key for encryption", doc, []*issuing{leaf(ca, usage(x509.KeyUsageKeyEncipherment, client)), ca}, "not for signatures"},
		{"expired", doc, []*issuing{leaf(ca, func(x *x509.Certificate) { x.NotAfter = c.now().Add(-time.Second) }), ca}, untimely},
		{"not yet", doc, []*issuing{leaf(ca, func(x *x509.Certificate) { x.NotBefore = c.now().Add(time.Second) }), ca}, untimely},
		{"in between expired", doc, []*issuing{leaf(stale), stale, ca}, untimely},
		{"the authority expired", doc, []*issuing{leaf(expiredCA), expiredCA}, untimely},
		{"name not permitted", doc, []*issuing{leaf(onlyNames, uris(spiffe)), onlyNames}, unchained},
		{"the policy's authority is none", doc, []*issuing{leaf(notAnAuthority), notAnAuthority}, "is none"},
		{"the policy's authority may sign and is none", doc, []*issuing{leaf(signsOnly), signsOnly}, "is none"},
		{"the policy's authority is for other things", doc, []*issuing{leaf(weakUse), weakUse}, "is none"},

		{"common name", narrow, []*issuing{leaf(ca, common("Dr. Who")), ca}, "named"},
		{"another common name", narrow, []*issuing{leaf(ca, common("Dr. What")), ca}, unnamed},
		{"common name in other case", narrow, []*issuing{leaf(ca, common("dr. who")), ca}, unnamed},
		{"two common names", narrow, []*issuing{leaf(ca, common("Dr. What", "Dr. Who")), ca}, unnamed},
		{"no name", narrow, []*issuing{leaf(ca, common()), ca}, unnamed},
		{"common name as another name", narrow, []*issuing{leaf(ca, func(x *x509.Certificate) { x.DNSNames = []string{"Dr. Who"} }), ca}, unnamed},

		{"spiffe", narrow, []*issuing{leaf(ca, uris(spiffe)), ca}, "workload"},
		{"spiffe beside a host", narrow, []*issuing{leaf(ca, uris(spiffe), func(x *x509.Certificate) { x.DNSNames = []string{"a.example"} }), ca}, "workload"},
		{"another id", narrow, []*issuing{leaf(ca, uris(spiffe+"/x")), ca}, unnamed},
		{"another trust domain", narrow, []*issuing{leaf(ca, uris("spiffe://other.example/app")), ca}, unnamed},
		{"two ids", narrow, []*issuing{leaf(ca, uris(spiffe, spiffe)), ca}, unnamed},
		{"an id and an address", narrow, []*issuing{leaf(ca, uris("https://a.example", spiffe)), ca}, unnamed},
		{"id with usage unsaid", narrow, []*issuing{leaf(ca, uris(spiffe), usage(0, client)), ca}, unnamed},
		{"id of a key that signs lists", narrow, []*issuing{leaf(ca, uris(spiffe), usage(sig|x509.KeyUsageCRLSign, client)), ca}, unnamed},
		{"id of a key that signs certificates", narrow, []*issuing{leaf(ca, uris(spiffe), usage(sig|x509.KeyUsageCertSign, client)), ca}, unnamed},
		{"id as a common name", narrow, []*issuing{leaf(ca, common(spiffe)), ca}, unnamed},

		{"the more specific one, by name", doc, []*issuing{leaf(ca, common("Dr. Who")), ca}, "named"},
		{"the more specific one, by id", doc, []*issuing{leaf(ca, uris(spiffe)), ca}, "workload"},
		{"a caller that expired", doc, []*issuing{leaf(ca, common("guest")), ca}, "401 The policy knows this caller only until"},
	} {
		a := authenticator(t, tc.doc, c, nil)
		r := request(t)
		with(tc.chain...)(r)
		want(t, tc.name, identify(a, r), tc.want)
		// What is wrong is not taken for nothing.
		r = request(t)
		with(tc.chain...)(r)
		expected := tc.want
		if expected == nothing {
			expected = "anyone"
		}
		want(t, tc.name+" and anyone", identify(authenticator(t, tc.doc+anyone, c, nil), r), expected)
	}
}

// TestNamesAsWritten: two texts can be one URL, and only one of them is the id.
func TestNamesAsWritten(t *testing.T) {
	san := func(text string) *x509.Certificate {
		value := must[[]byte](t)(asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 6, Bytes: []byte(text)}}))
		return issue(t, nil, func(x *x509.Certificate) {
			x.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: value}}
		}).cert
	}
	for text, same := range map[string]bool{spiffe: true, spiffe + "#": false, spiffe + "?": false, "SPIFFE://clinic.example/app": false, "spiffe://clinic.example/%61pp": false} {
		got := uriNames(san(text))
		if len(got) != 1 || (got[0] == spiffe) != same {
			t.Errorf("%s is read as %q", text, got)
		}
	}
}

// TestOverTLS: the whole way, over HTTP/1.1 and HTTP/2, with dates that pass
// during one connection.
func TestOverTLS(t *testing.T) {
	c := newClock()
	ca := issue(t, nil, authority)
	leaf := issue(t, ca, uris(spiffe))
	a := authenticator(t, app+"  - {name: workload, certificate: {ca: "+fingerprint(ca.cert)+", spiffe: \""+spiffe+"\"}, may: [query]}\n"+
		"  - {name: clinic, api_key: "+hash(clinicKey)+", may: [query]}\n", c, nil)
	if !a.NeedsCertificates() || authenticator(t, keyed, c, nil).NeedsCertificates() {
		t.Error("the wrong policy asks for certificates")
	}
	for _, proto := range []string{"http/1.1", "h2"} {
		c.wall.Store(newClock().wall.Load())
		srv := serveTLS(t, a)
		get := func(client *http.Client, headers ...string) string { return getFrom(t, client, srv, headers...) }
		shows := clientWith(t, srv, proto, &tls.Certificate{Certificate: [][]byte{leaf.cert.Raw, ca.cert.Raw}, PrivateKey: leaf.key})
		plain := clientWith(t, srv, proto, nil)
		for range 2 {
			want(t, proto+" with it", get(shows), "workload")
		}
		want(t, "a key counts before it", get(shows, "Blindbox-Key", clinicKey), "clinic")
		want(t, "a bad key too", get(shows, "Blindbox-Key", "of-another-box-000000003"), "401 The header")
		want(t, "the app's own token is no matter", get(shows, bearer("of-the-app-itself-000001")...), "workload")
		want(t, "without it", get(plain), "401 There is no API key")
		c.advance(time.Hour)
		want(t, "the last moment", get(shows), "workload")
		c.advance(time.Second)
		want(t, "expired on an open connection", get(shows), "401 The TLS client certificate")
		c.advance(-3 * time.Hour)
		want(t, "the clock was set back", get(shows), "401 The TLS client certificate")
		c.advance(2 * time.Hour)
		want(t, "and is right again", get(shows), "workload")
	}
}

func serveTLS(t *testing.T, a *Authenticator) net.Addr {
	t.Helper()
	l := must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
	own := issue(t, nil, func(x *x509.Certificate) { x.ExtKeyUsage = nil })
	srv := &http.Server{
		ConnContext: ConnContext, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(identify(a, r))) }),
		TLSConfig: &tls.Config{
			MinVersion: tls.VersionTLS13, ClientAuth: tls.RequestClientCert,
			Certificates: []tls.Certificate{{Certificate: [][]byte{own.cert.Raw}, PrivateKey: own.key}},
		},
	}
	go func() { _ = srv.ServeTLS(l, "", "") }()
	t.Cleanup(func() { srv.Close() })
	return l.Addr()
}

func clientWith(t *testing.T, srv net.Addr, proto string, cert *tls.Certificate) *http.Client {
	t.Helper()
	cfg := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{proto}}
	if cert != nil {
		cfg.Certificates = []tls.Certificate{*cert}
	}
	tr := &http.Transport{TLSClientConfig: cfg, ForceAttemptHTTP2: proto == "h2", DialContext: dialTo(srv.String())}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func getFrom(t *testing.T, client *http.Client, srv net.Addr, headers ...string) string {
	t.Helper()
	r := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), "GET", "https://"+srv.String()+"/", nil))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp := must[*http.Response](t)(client.Do(r))
	defer resp.Body.Close()
	text := make([]byte, 1<<10)
	n, _ := resp.Body.Read(text)
	return string(text[:n])
}
