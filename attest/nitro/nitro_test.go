package nitro_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/nitro"
)

func vector(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "vectors", "nitro", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// capture is a document of a real enclave; vectors/nitro/ORIGIN.md says whose.
type capture struct {
	name  string
	at    time.Time
	size  int // of the document; the rest of the file is the project's own
	debug bool
}

var (
	production = capture{name: "dstack-nsm-qvl", at: time.UnixMilli(1766668537578).UTC(), size: 4527}
	debugged   = capture{name: "dstack-debug-pcr-zero", at: time.UnixMilli(1766650846577).UTC(), size: 4529, debug: true}
	captures   = []capture{production, debugged}
)

func (c capture) evidence(t testing.TB) attest.Evidence {
	t.Helper()
	document, _, err := nitro.Split(vector(t, c.name+".cose"))
	if err != nil {
		t.Fatal(err)
	}
	return attest.Evidence{Kind: attest.Nitro, Data: document}
}

func awsVerifier(t testing.TB) *nitro.Verifier {
	t.Helper()
	v, err := nitro.NewVerifier()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// forgedVerifier trusts the fake vendor.
func forgedVerifier(t testing.TB) *nitro.Verifier {
	t.Helper()
	v, err := nitro.NewVerifierWithRoots(attesttest.NewAWS().Root(t))
	if err != nil {
		t.Fatal(err)
	}
	return v
}
