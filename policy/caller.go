package policy

import (
	"crypto/sha256"
	"time"
)

// Action is a kind of request.
type Action string

const (
	// Query is any request to the app or to the models that is none of the rest.
	Query Action = "query"
	// Upload puts a model into the box.
	Upload Action = "upload"
	// Delete removes a model from the box.
	Delete Action = "delete"
	// List names the models that the box has.
	List Action = "list"
	// Observe is to read the box's own health and counters.
	Observe Action = "observe"
)

// Caller is someone who may send requests. Exactly one of APIKey, Certificate,
// OIDC, Attested and Anyone is set.
type Caller struct {
	// Name identifies the caller to the app and in Cedar, as Caller::"name". If
	// the document gives none it is made from how the caller is recognised.
	Name string
	// APIKey is SHA-256 over the caller's key.
	APIKey *[sha256.Size]byte
	// Certificate is the caller's TLS client certificate.
	Certificate *Certificate
	// OIDC is a token of an identity provider.
	OIDC *OIDC
	// Attested is another box.
	Attested *Attested
	// Anyone is the caller that shows nothing the policy knows.
	Anyone bool
	// May is what the caller may do. It may be empty only if Cedar is not.
	May []Action
	// Methods, Paths and Models limit every action but Observe. Empty means all.
	// A path is exact, or a prefix that ends in "/*". Models are names.
	Methods, Paths, Models []string
	// Rate is how many requests in a short time, nil if the document says
	// nothing. A Rate of zero requests allows none.
	Rate *Budget
	// Quota is how much in a long time, nil if the document says nothing.
	Quota *Quota
	// Expires is when the caller is known no longer. The zero time means never.
	Expires time.Time
	// Line is where the entry begins in the document.
	Line int
}

// Expired reports whether the caller is known no longer. It is expired from the
// very moment on.
func (c *Caller) Expired(now time.Time) bool {
	return !c.Expires.IsZero() && !now.Before(c.Expires)
}

// Certificate is which TLS client certificates are the caller's.
type Certificate struct {
	// CA is SHA-256 over the DER of the certificate authority's certificate.
	CA [sha256.Size]byte
	// SPIFFE is the URI in the certificate, "spiffe://trust.domain/path", and
	// Subject its common name. At most one is set. Neither means every
	// certificate that the authority has issued.
	SPIFFE, Subject string
}

// OIDC is which tokens are the caller's.
type OIDC struct {
	// Issuer is the URL of the identity provider, https.
	Issuer string
	// Audience must be among the token's.
	Audience string
	// Claims must all be in the token, with exactly these values.
	Claims map[string]string
}

// Attested is which other boxes are the caller.
type Attested struct {
	// Kind is the hardware, by the name that attest.Kind has.
	Kind string
	// Measurement is the code, of the length that Kind has.
	Measurement []byte
	// Policy is the digest of the other box's policy.
	Policy [sha256.Size]byte
	// SimulatedRoot is the fingerprint of the root under which a simulated box
	// signs; zero for hardware.
	SimulatedRoot [sha256.Size]byte
}

// Budget is an amount per time. The zero Budget allows nothing.
type Budget struct {
	// Count is requests, or bytes, as the field says that holds the Budget.
	Count int64
	// Per is the time in which they may be used.
	Per time.Duration
}

// Quota bounds what a caller uses over a long time.
type Quota struct {
	// Requests and Bytes (of requests and answers together) are nil if the
	// document says nothing about them.
	Requests, Bytes *Budget
}
