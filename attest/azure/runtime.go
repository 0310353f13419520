package azure

import (
	"crypto/rsa"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/big"

	"github.com/blindbox/blindbox/internal/strictjson"
)

// Runtime is what the paravisor says about itself, in the document whose hash the
// hardware signed.
type Runtime struct {
	AK *rsa.PublicKey // attestation key of its TPM
	EK *rsa.PublicKey // endorsement key of its TPM, nil if not named
	VM VMConfiguration
	// UserData is what the guest asked the paravisor to have signed with the next
	// report; zero in the report that was made at the start.
	UserData [64]byte
}

// VMConfiguration is how the machine was set up. A nil field was not said.
type VMConfiguration struct {
	ConsoleEnabled *bool  `json:"console-enabled"` // the host sees and types on a serial console
	SecureBoot     *bool  `json:"secure-boot"`
	TPMEnabled     *bool  `json:"tpm-enabled"`
	TPMPersisted   *bool  `json:"tpm-persisted"`
	RootThumbprint string `json:"root-cert-thumbprint"`
	UniqueID       string `json:"vmUniqueId"`
}

// jwk is a JSON Web Key (RFC 7517) of the only kind that paravisors have.
type jwk struct{ kid, kty, e, n string }

// ParseRuntime reads the runtime claims. Members that it does not know it leaves
// alone: the document is the paravisor's, which is measured, and its versions add
// some.
func ParseRuntime(data []byte) (*Runtime, error) {
	doc, err := strictjson.NewReader(data, strictjson.Limits{Bytes: maxRuntime, Depth: 8})
	if err != nil {
		return nil, fmt.Errorf("azure: runtime claims: %w", err)
	}
	r := &Runtime{}
	err = doc.Object(func(name string) error { return r.member(doc, name) })
	if err == nil {
		err = doc.End()
	}
	if err != nil {
		return nil, fmt.Errorf("azure: runtime claims: %w", err)
	}
	if r.AK == nil {
		return nil, fmt.Errorf("azure: runtime claims without the key HCLAkPub")
	}
	return r, nil
}

func (r *Runtime) member(doc *strictjson.Reader, name string) (err error) {
	switch name {
	case "keys":
		return doc.Array(func() error { return r.key(doc) })
	case "vm-configuration":
		return doc.Object(func(name string) error { return r.VM.member(doc, name) })
	case "user-data":
		return r.userData(doc)
	}
	_, err = doc.Skip()
	return err
}

func (v *VMConfiguration) member(doc *strictjson.Reader, name string) (err error) {
	switch name {
	case "console-enabled":
		v.ConsoleEnabled, err = yes(doc)
	case "secure-boot":
		v.SecureBoot, err = yes(doc)
	case "tpm-enabled":
		v.TPMEnabled, err = yes(doc)
	case "tpm-persisted":
		v.TPMPersisted, err = yes(doc)
	case "root-cert-thumbprint":
		v.RootThumbprint, err = doc.String()
	case "vmUniqueId":
		v.UniqueID, err = doc.String()
	default:
		_, err = doc.Skip()
	}
	return err
}

// yes reads true or false; null is as if it had not been said.
func yes(doc *strictjson.Reader) (*bool, error) {
	if doc.Kind() == strictjson.Null {
		return nil, doc.Null()
	}
	b, err := doc.Bool()
	return &b, err
}

func (r *Runtime) userData(doc *strictjson.Reader) error {
	text, err := doc.String()
	if text == "" { // not said, or not to be read
		return err
	}
	// It counts the bytes before the first that is not hex.
	if n, _ := hex.Decode(r.UserData[:], []byte(cut(text))); n != len(r.UserData) || len(text) != 2*n {
		return fmt.Errorf("user-data of %d characters, expected 128 in hex", len(text))
	}
	return nil
}

// cut keeps hex.Decode from writing behind the 64 bytes.
func cut(s string) string { return s[:min(len(s), 128)] }

// key reads one key and keeps it if it is one of the two that count.
func (r *Runtime) key(doc *strictjson.Reader) error {
	var k jwk
	err := doc.Object(func(name string) (err error) {
		switch name {
		case "kid":
			k.kid, err = doc.String()
		case "kty":
			k.kty, err = doc.String()
		case "e":
			k.e, err = doc.String()
		case "n":
			k.n, err = doc.String()
		default:
			_, err = doc.Skip()
		}
		return err
	})
	if err != nil {
		return err
	}
	return r.take(k)
}

func (r *Runtime) take(k jwk) error {
	slot := &r.AK
	switch k.kid {
	case "HCLAkPub":
	case "HCLEkPub":
		slot = &r.EK
	default:
		return nil
	}
	if *slot != nil {
		return fmt.Errorf("two keys %s", k.kid)
	}
	key, err := k.rsa()
	if err != nil {
		return fmt.Errorf("key %s: %w", k.kid, err)
	}
	*slot = key
	return nil
}

const maxModulus = 512

func (k jwk) rsa() (*rsa.PublicKey, error) {
	var room [maxModulus]byte
	n, err := base64.RawURLEncoding.Strict().AppendDecode(room[:0], []byte(k.n))
	switch {
	case k.kty != "RSA":
		return nil, fmt.Errorf("of type %.20q, expected RSA", k.kty)
	case k.e != "AQAB":
		return nil, fmt.Errorf("with another exponent than 65537")
	case err != nil:
		return nil, fmt.Errorf("with a modulus that is not base64url")
	case len(n) < 256 || len(n) > maxModulus || n[0]&0x80 == 0:
		return nil, fmt.Errorf("with a modulus of %d bytes, expected 256 to 512", len(n))
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: 65537}, nil
}
