package model

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/examples/tumour"
)

// TestTritonclient runs the protocol's common client, unmodified, against the
// server. It needs a Python with tritonclient[http] and numpy; one that is named
// but has them not is a failure, so that no machine skips it by accident.
func TestTritonclient(t *testing.T) {
	python := os.Getenv("BLINDBOX_PYTHON")
	if python == "" {
		t.Skip("skipped: BLINDBOX_PYTHON does not name a Python that has tritonclient[http] and numpy")
	}
	if out, err := exec.CommandContext(t.Context(), python, "-c", "import numpy, tritonclient.http").CombinedOutput(); err != nil {
		t.Fatalf("BLINDBOX_PYTHON: %s cannot import numpy and tritonclient.http: %v\n%s", python, err, out)
	}
	demo := mustLoad(t, "tumour", tumour.Model())
	demo.Labels = tumour.Labels()
	h, err := NewServer([]Loaded{demo, mustLoad(t, "echo", echo()), mustLoad(t, "triage", triaged(t, nil).pack(t))})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	defer srv.Close()
	request, _ := tumour.Sample()
	var q struct {
		Inputs []struct{ Data []json.Number }
	}
	if err := json.Unmarshal(request, &q); err != nil {
		t.Fatal(err)
	}
	var features []string
	for _, n := range q.Inputs[0].Data {
		features = append(features, n.String())
	}
	out, err := exec.CommandContext(t.Context(), python, "testdata/client.py",
		strings.TrimPrefix(srv.URL, "http://"), strings.Join(features, ","), tumour.SHA256).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "ok" {
		t.Errorf("%v\n%s", err, out)
	}
}
