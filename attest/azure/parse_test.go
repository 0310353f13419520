package azure_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/attest/azure"
)

func key(kid string, size int, first byte) string {
	n := make([]byte, size)
	n[0] = first
	return fmt.Sprintf(`{"kid":%q,"kty":"RSA","e":"AQAB","n":%q}`, kid, base64.RawURLEncoding.EncodeToString(n))
}

// TestParseRuntime: each rule for the runtime claims, broken.
func TestParseRuntime(t *testing.T) {
	ak := key("HCLAkPub", 256, 0x80)
	doc := func(keys, rest string) string { return `{"keys":[` + keys + `]` + rest + `}` }
	digits := strings.Repeat("0", 127)
	for _, good := range []string{doc(ak, ""), doc(ak+","+key("HCLEkPub", 256, 0x80), `,"user-data":"`+digits+`0"`), doc(ak+`,{"kid":"other"}`, `,"later":{},"user-data":""`)} {
		if _, err := azure.ParseRuntime([]byte(good)); err != nil {
			t.Errorf("%v in %s", err, good)
		}
	}
	for words, text := range map[string]string{
		"strictjson":                 "{",
		"user-data of 127":           doc(ak, `,"user-data":"`+digits+`"`),
		"user-data of 129":           doc(ak, `,"user-data":"`+digits+`00"`),
		"user-data of 130":           doc(ak, `,"user-data":"`+digits+`000"`),
		"user-data of 128":           doc(ak, `,"user-data":"`+digits+`x"`),
		"user-data of 2 ":            doc(ak, `,"user-data":"00"`),
		`"user-data" is there twice`: doc(ak, `,"user-data":"","user-data":""`),
		"expected string":            doc(ak, `,"user-data":1`),
		`"kty" is there twice`:       doc(`{"kid":"HCLAkPub","kty":"EC","kty":"RSA"}`, ""),
		"two keys HCLAkPub":          doc(ak+","+ak, ""),
		"two keys HCLEkPub":          doc(ak+","+key("HCLEkPub", 256, 0x80)+","+key("HCLEkPub", 256, 0x80), ""),
		"without the key HCLAkPub":   doc("", ""),
		"modulus of 255 bytes":       doc(key("HCLAkPub", 255, 0x80), ""),
		"modulus of 513 bytes":       doc(key("HCLAkPub", 513, 0x80), ""),
		"modulus of 256 bytes":       doc(key("HCLAkPub", 256, 0x7f), ""),
		"not base64url":              doc(strings.Replace(ak, `"n":"`, `"n":"!`, 1), ""),
		"of type":                    doc(strings.Replace(ak, "RSA", "EC", 1), ""),
		"another exponent":           doc(strings.Replace(ak, "AQAB", "Aw", 1), ""),
	} {
		if r, err := azure.ParseRuntime([]byte(text)); r != nil || err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("error %v, want %q", err, words)
		}
	}
}

// TestParseHCLLengths: no length is believed before it was compared.
func TestParseHCLLengths(t *testing.T) {
	for words, data := range map[string][]byte{
		"report of 0 bytes":     nil,
		"report of 1235 bytes":  make([]byte, 1235),
		"report of 16385 bytes": make([]byte, 16385),
		"claims of 8193 bytes":  withLength(16384, 8193),
		"claims of 1 bytes":     withLength(1236, 1),
	} {
		if h, err := azure.ParseHCL(data); h != nil || err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("error %v, want %q", err, words)
		}
	}
}

func withLength(size, length int) []byte {
	out := make([]byte, size)
	out[1232], out[1233] = byte(length), byte(length>>8)
	return out
}
