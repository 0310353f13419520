package callers

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/blindbox/blindbox/internal/strictjson"
	"github.com/blindbox/blindbox/policy"
)

const (
	// maxToken is the longest token that is read, in bytes.
	maxToken = 8 << 10
	// skew is how far the clock of an identity provider may differ.
	skew = 30 * time.Second
)

// looksLikeToken reports whether a secret has the form of a signed JSON Web Token:
// three parts, of which the first is a JSON object (RFC 7515, section 7.1).
func looksLikeToken(secret string) bool {
	return strings.HasPrefix(secret, "eyJ") && strings.Count(secret, ".") == 2
}

// token is a JSON Web Token (RFC 7519) that was read. Nothing of it is true until
// its signature is verified.
type token struct {
	sum       [sha256.Size]byte // of the whole token
	alg, kid  string
	signed    string // what the signature is over
	signature []byte

	texts         map[string]string // the claims that are strings
	audience      []string
	expires       float64 // seconds since 1970; NaN if the token has none
	issued, since float64
	bound         bool // to a key that its holder would have to prove
	logout        bool
}

func (t *token) issuer() string { return t.texts["iss"] }

// parseToken reads a token, or says why it cannot be read in words that hold
// nothing of it.
func parseToken(secret string) (t *token, why string) {
	if len(secret) > maxToken {
		return nil, "it is longer than " + strconv.Itoa(maxToken) + " bytes"
	}
	parts := strings.Split(secret, ".")
	if len(parts) != 3 {
		return nil, "it does not have three parts"
	}
	t = &token{
		sum: sha256.Sum256([]byte(secret)), signed: secret[:len(parts[0])+1+len(parts[1])], texts: map[string]string{},
		expires: math.NaN(), issued: math.NaN(), since: math.NaN(),
	}
	header, err1 := decode(parts[0])
	claims, err2 := decode(parts[1])
	signature, err3 := decode(parts[2])
	if errors.Join(err1, err2, err3) != nil {
		return nil, "a part of it is not base64url without padding"
	}
	t.signature = signature
	if t.readHeader(header) != nil {
		return nil, "its header is not one that is read here"
	}
	if t.readClaims(claims) != nil {
		return nil, "its claims are not a JSON object that every reader understands alike"
	}
	return t, ""
}

// decode reads base64url. The decoder would skip line breaks.
func decode(part string) ([]byte, error) {
	if strings.ContainsAny(part, "\r\n") {
		return nil, errors.New("callers: a line break in base64url")
	}
	return base64.RawURLEncoding.Strict().DecodeString(part)
}

var errHeader = errors.New("callers: header")

// readHeader reads what is needed to find a key. Keys and addresses of keys in the
// header are never used. A header that asks for more is refused: crit names what
// a reader must understand (RFC 7515, section 4.1.11), and other types of token
// mean other things (RFC 8725, section 3.11).
func (t *token) readHeader(text []byte) error {
	typ := "JWT"
	err := object(text, func(r *strictjson.Reader, name string) (err error) {
		switch name {
		case "alg":
			t.alg, err = r.String()
		case "kid":
			t.kid, err = r.String()
		case "typ":
			typ, err = r.String()
		case "crit", "b64":
			err = errHeader
		default:
			_, err = r.Skip()
		}
		return err
	})
	typ = strings.TrimPrefix(strings.ToLower(typ), "application/")
	if err == nil && typ != "jwt" && typ != "at+jwt" { // RFC 9068, section 2.1
		err = errHeader
	}
	return err
}

func (t *token) readClaims(text []byte) error {
	return object(text, func(r *strictjson.Reader, name string) (err error) {
		switch name {
		case "aud":
			return t.readAudience(r)
		case "exp":
			t.expires, err = r.Float(64)
		case "iat":
			t.issued, err = r.Float(64)
		case "nbf":
			t.since, err = r.Float(64)
		default:
			if r.Kind() == strictjson.String {
				t.texts[name], err = r.String()
				return err
			}
			t.bound = t.bound || name == "cnf"
			t.logout = t.logout || name == "events"
			_, err = r.Skip()
		}
		return err
	})
}

// readAudience reads one string or several (RFC 7519, section 4.1.3).
func (t *token) readAudience(r *strictjson.Reader) error {
	one := func() error {
		s, err := r.String()
		t.audience = append(t.audience, s)
		return err
	}
	if r.Kind() == strictjson.Array {
		return r.Array(one)
	}
	return one()
}

func object(text []byte, member func(*strictjson.Reader, string) error) error {
	r, err := strictjson.NewReader(text, strictjson.Limits{Bytes: maxToken, Depth: 8})
	if err != nil {
		return err
	}
	if err := r.Object(func(name string) error { return member(r, name) }); err != nil {
		return err
	}
	return r.End()
}

// timely says why a token does not count now, or "".
func (t *token) timely(now time.Time) string {
	seconds := float64(now.UnixNano()) / 1e9
	late := skew.Seconds()
	switch {
	case math.IsNaN(t.expires) || math.IsNaN(t.issued):
		return "it does not say when it was issued (iat) and when it expires (exp)"
	case seconds >= t.expires+late:
		return "it has expired"
	case t.issued > seconds+late:
		return "it was issued in the future; compare the clocks"
	case t.since > seconds+late:
		return "it is not valid yet"
	}
	return ""
}

// bearable says why a token may not be used by whoever holds it, or "".
func (t *token) bearable() string {
	switch {
	case t.bound:
		return "it is bound to a key of its holder (cnf), which is not asked for here"
	case t.logout:
		return "it reports events and says nothing of who is calling"
	}
	return ""
}

// of reports whether a token is a caller's: it is for this box, and has every
// claim with exactly the value that the policy has.
//
// A token that is for others too has to say in azp that it was given to somebody
// whom the policy expects: the audience itself, or by a claim. (OpenID Connect
// Core 1.0, section 3.1.3.7, 4 and 5.)
func (t *token) of(c *policy.OIDC) bool {
	if !slices.Contains(t.audience, c.Audience) {
		return false
	}
	for name, want := range c.Claims {
		if got, ok := t.texts[name]; !ok || got != want {
			return false
		}
	}
	_, named := c.Claims["azp"]
	return len(t.audience) == 1 || named || t.texts["azp"] == c.Audience
}
