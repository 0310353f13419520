package appraise_test

import (
	"strings"
	"testing"

	"github.com/blindbox/blindbox/appraise"
)

// The trust file in the package comment can be read.
func TestDocumentedTrustFile(t *testing.T) {
	var file strings.Builder
	for _, line := range strings.Split(string(read(t, "doc.go")), "\n") {
		if text, ok := strings.CutPrefix(line, "//\t"); ok {
			file.WriteString(text + "\n")
		}
	}
	trust, err := appraise.ParseTrust([]byte(file.String()))
	if err != nil {
		t.Fatalf("%v\n%s", err, file.String())
	}
	if names := trust.Names(); len(names) != 1 || names[0] != "demo v1" {
		t.Errorf("names %v", names)
	}
}
