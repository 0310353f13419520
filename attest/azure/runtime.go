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

type runtimeDoc struct {
	Keys     []jwk           `json:"keys"`
	VM       VMConfiguration `json:"vm-configuration"`
	UserData string          `json:"user-data"`
}

// jwk is a JSON Web Key (RFC 7517) of the only kind that paravisors have.
type jwk struct {
	KID string   `json:"kid"`
	Ops []string `json:"key_ops"`
	KTY string   `json:"kty"`
	E   string   `json:"e"`
	N   string   `json:"n"`
}

// ParseRuntime reads the runtime claims. Members that it does not know it leaves
// alone: the document is the paravisor's, which is measured, and its versions add
// some.
func ParseRuntime(data []byte) (*Runtime, error) {
	var doc runtimeDoc
	opt := strictjson.Options{Limits: strictjson.Limits{Bytes: maxRuntime, Depth: 8}, AllowUnknown: true}
	if err := strictjson.Decode(data, &doc, opt); err != nil {
		return nil, fmt.Errorf("azure: runtime claims: %w", err)
	}
	r := &Runtime{VM: doc.VM}
	for _, k := range doc.Keys {
		if err := r.take(k); err != nil {
			return nil, err
		}
	}
	if r.AK == nil {
		return nil, fmt.Errorf("azure: runtime claims without the key HCLAkPub")
	}
	if doc.UserData != "" {
		// It counts the bytes before the first that is not hex.
		if n, _ := hex.Decode(r.UserData[:], []byte(cut(doc.UserData))); n != len(r.UserData) || len(doc.UserData) != 2*n {
			return nil, fmt.Errorf("azure: user-data of %d characters, expected 128 in hex", len(doc.UserData))
		}
	}
	return r, nil
}

// cut keeps hex.Decode from writing behind the 64 bytes.
func cut(s string) string { return s[:min(len(s), 128)] }

func (r *Runtime) take(k jwk) error {
	slot := &r.AK
	switch k.KID {
	case "HCLAkPub":
	case "HCLEkPub":
		slot = &r.EK
	default:
		return nil
	}
	if *slot != nil {
		return fmt.Errorf("azure: two keys %s", k.KID)
	}
	key, err := k.rsa()
	if err != nil {
		return fmt.Errorf("azure: key %s: %w", k.KID, err)
	}
	*slot = key
	return nil
}

func (k jwk) rsa() (*rsa.PublicKey, error) {
	n, err := base64.RawURLEncoding.Strict().DecodeString(k.N)
	switch {
	case k.KTY != "RSA":
		return nil, fmt.Errorf("of type %.20q, expected RSA", k.KTY)
	case k.E != "AQAB":
		return nil, fmt.Errorf("with another exponent than 65537")
	case err != nil:
		return nil, fmt.Errorf("with a modulus that is not base64url")
	case len(n) < 256 || len(n) > 512 || n[0]&0x80 == 0:
		return nil, fmt.Errorf("with a modulus of %d bytes, expected 256 to 512", len(n))
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: 65537}, nil
}
