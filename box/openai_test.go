package box

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	pb "github.com/blindbox/blindbox/onnx/onnxtest"
	form "github.com/blindbox/blindbox/receipt"
)

// vectors makes n*x of each text x that is a number: a model for each n.
func vectors(n float32) []byte {
	return pb.ModelAt(20,
		pb.Input("text", 8, "n"), pb.Initializer(pb.Floats("k", []int64{1, 1}, n)), pb.Initializer(pb.Ints("one", []int64{1}, 1)),
		pb.Node("", "StringSplit", []string{"text"}, []string{"words", "tokens"}),
		pb.Node("", "Cast", []string{"text"}, []string{"x"}, pb.AttrInt("to", 1)),
		pb.Node("", "Unsqueeze", []string{"x", "one"}, []string{"column"}),
		pb.Node("", "Mul", []string{"column", "k"}, []string{"embedding"}),
		pb.Output("embedding", 1, "n", 1), pb.Output("tokens", 7, "n"))
}

// openAIBox is a box to which acme has brought two models, of which the clinic may ask
// one, and what sends requests to it.
func openAIBox(t *testing.T) (by func(key, path, body string, header ...string) (int, string), c *http.Client) {
	t.Helper()
	b := serve(t, Config{Policy: parsed(t, storeDoc("")), Builtin: tumours()})
	c = b.client(t, "h2")
	by = func(key, path, body string, header ...string) (int, string) {
		t.Helper()
		r := request(t, "POST", path, strings.NewReader(body), header...)
		if r.Header.Set("Authorization", "Bearer "+key); r.Header.Get("Test-Chunked") != "" {
			r.ContentLength, r.Body = -1, io.NopCloser(strings.NewReader(body))
		}
		resp, text := do(t, c, r)
		return resp.StatusCode, text
	}
	for name, n := range map[string]float32{"xray": 2, "secret": 3} {
		if status, text := by(acmeKey, "/v2/repository/uploads?visibility=shared&name="+name, string(vectors(n))); status != 201 {
			t.Fatalf("%d %s", status, text)
		}
	}
	return by, c
}

// TestModelInBody: a caller that may ask some models reaches no other one by the paths
// whose body names it, whatever it sends.
func TestModelInBody(t *testing.T) {
	by, _ := openAIBox(t)
	const path = "/v1/embeddings"
	if status, text := by(clinicKey, path, `{"model":"acme~xray","input":"1"}`); status != 200 || !strings.Contains(text, `"embedding":[2]`) {
		t.Fatalf("%d %s", status, text)
	}
	if status, text := by(acmeKey, path, `{"model":"secret","input":"1"}`); status != 200 || !strings.Contains(text, `"embedding":[3]`) {
		t.Fatalf("%d %s", status, text)
	}
	secret := fmt.Sprintf("%x", sha256.Sum256(vectors(3)))
	for _, c := range []struct {
		body   string
		header []string
	}{
		{`{"model":"acme~secret","input":"1"}`, nil},
		{`{"model":"acme~secret","input":"1"}`, []string{"Test-Chunked", "1"}},
		{`{"model":"acme~secret","input":"1"}`, []string{"Blindbox-Model", "acme~xray", "Blindbox-Caller", "acme", "Blindbox_model", "acme~xray"}},
		{`{"model":"secret","input":"1"}`, []string{"Blindbox-Caller", "acme"}},
		{`{"model":"sha256:` + secret + `","input":"1"}`, nil},
		{`{"model":"sha256-` + secret + `","input":"1"}`, nil},
		{`{"model":"acme~xray","model":"acme~secret","input":"1"}`, nil},
		{`{"model":"acme~secret","model":"acme~xray","input":"1"}`, nil},
		{`{"model":"acme~xray","\u006dodel":"acme~secret","input":"1"}`, nil},
		{`{"model":"acme\u007esecret","input":"1"}`, nil},
		{`{"model":"acme~xray","Model":"acme~secret","input":"1"}`, nil},
		{`{"model":"acme~xray","input":"1"}{"model":"acme~secret","input":"1"}`, nil},
		{`{"model":"acme~xray","input":"1","extra":{"model":"acme~secret"}}`, nil},
		{`{"model":"acme~xray\u0000","input":"1"}`, nil},
		{`{"input":"1"}`, nil},
		{`{"model":"acme~xray","input":"1"}`, []string{"Content-Encoding", "gzip"}},
		{`{"model":"acme~xray","input":"1"}`, []string{"Content-Type", "multipart/form-data; boundary=x"}},
		{`{"model":"acme~xray","input":"` + strings.Repeat("1", 1<<10) + `"}`, nil},
		{`{"model":"acme~xray","input":"` + strings.Repeat("1", 1<<10) + `"}`, []string{"Test-Chunked", "1"}},
	} {
		for _, at := range []string{path, path + "/", path + "?model=acme~xray"} {
			status, text := by(clinicKey, at, c.body, c.header...)
			if status < 400 || status >= 500 || strings.Contains(text, `"embedding":`) {
				t.Errorf("%s %.100s %q: %d %s", at, c.body, c.header, status, text)
			}
		}
	}
	for _, at := range []string{"/v1/embeddings;x", "/v1//embeddings", "/v1/%65mbeddings", "/V1/embeddings", "/v1/./embeddings", "/v2/embeddings"} {
		if status, text := by(clinicKey, at, `{"model":"acme~xray","input":"1"}`); status < 400 || status >= 500 {
			t.Errorf("%s: %d %s", at, status, text)
		}
	}
	// One who may not query at all is told so, and nothing of what there is.
	_, there := by(otherKey, path, `{"model":"acme~secret","input":"1"}`)
	_, none := by(otherKey, path, `{"model":"acme~nothing","input":"1"}`)
	if there != none || !strings.Contains(there, "only the models other~mine") {
		t.Errorf("%s and %s", there, none)
	}
	if status, text := by(clinicKey, "/v1/models/acme~secret", ""); status != 403 {
		t.Errorf("%d %s", status, text)
	}
}

// TestReceiptNamesTheModelInBody: what answered is in the receipt, also if the name of
// it stood in the body.
func TestReceiptNamesTheModelInBody(t *testing.T) {
	_, c := openAIBox(t)
	body := []byte(`{"model":"xray","input":"1"}`)
	r := request(t, "POST", "/v1/embeddings", bytes.NewReader(body), "Blindbox-Receipt", "1", "Authorization", "Bearer "+acmeKey)
	resp, text := do(t, c, r)
	if resp.StatusCode != 200 {
		t.Fatalf("%d %s", resp.StatusCode, text)
	}
	got, _ := fetched(t, c, resp, "Authorization", "Bearer "+acmeKey)
	if want := (form.Artifact{Kind: "model", Name: "acme~xray", Digest: form.Digest(sha256.Sum256(vectors(2)))}); !slices.Equal(got.Serves, []form.Artifact{want}) {
		t.Errorf("serves %+v, expected %+v", got.Serves, want)
	}
	if m := got.Request; m.Body != form.Digest(sha256.Sum256(body)) || m.Bytes != int64(len(body)) || !m.Complete {
		t.Errorf("the request in the receipt is %+v", m)
	}
}

// TestBodiesOfAnApp: an app that speaks the same API gets its bodies as they come.
func TestBodiesOfAnApp(t *testing.T) {
	r := httptest.NewRequest("POST", "/v1/embeddings", nil)
	if (&Box{}).inBody(r) {
		t.Error("the box would read the body of an app's request")
	}
}
