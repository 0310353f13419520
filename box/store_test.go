package box

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/examples/tumour"
	form "github.com/blindbox/blindbox/receipt"
)

const (
	acmeKey  = "the key of acme, the provider"
	otherKey = "the key of another provider"
)

// storeDoc is a box to which acme brings models, that the clinic may ask one of.
func storeDoc(store string) string {
	return "name: clinic\nmodels: [{name: tumour, builtin: tumour}]\nstore: {memory: 8MiB" + store + ", owner: {bytes: 2MiB}}\nlimits: {request: 1KiB}\n" +
		"callers:\n  - {name: acme, api_key: \"" + hash(acmeKey) + "\", may: [upload, delete, list, query]}\n" +
		"  - {name: clinic, api_key: \"" + hash(clinicKey) + "\", may: [query, list], models: [tumour, acme~xray]}\n" +
		"  - {name: other, api_key: \"" + hash(otherKey) + "\", may: [upload, query], models: [other~mine]}\n"
}

// TestModelsThatCallersBring: a provider brings a model, a hospital asks it, and each
// can do no more than its line of the policy says.
func TestModelsThatCallersBring(t *testing.T) {
	for _, disk := range []string{"", ", disk: 16MiB"} {
		cfg := Config{Policy: parsed(t, storeDoc(disk)), Builtin: tumours()}
		if disk != "" {
			cfg.Store = Store{Folder: t.TempDir(), State: t.TempDir()}
		}
		b := serve(t, cfg)
		c := b.client(t, "h2")
		by := func(key, method, path string, body []byte, header ...string) (int, string) {
			t.Helper()
			r := request(t, method, path, bytes.NewReader(body), header...)
			r.Header.Set("Authorization", "Bearer "+key)
			resp, text := do(t, c, r)
			return resp.StatusCode, text
		}
		want := func(status int, part string) func(int, string) {
			return func(got int, text string) {
				t.Helper()
				if got != status || !strings.Contains(text, part) {
					t.Errorf("got %d %.300s, expected %d with %q", got, text, status, part)
				}
			}
		}
		record, _ := tumour.Sample()
		want(403, "may")(by(clinicKey, "POST", "/v2/repository/uploads?name=xray", tumour.Model()))
		want(401, "")(by(acmeKey[1:], "POST", "/v2/repository/uploads?name=xray", tumour.Model()))
		want(404, "")(by(clinicKey, "GET", "/v2/models/acme~xray", nil))
		// The file is larger than limits.request, which is for queries.
		want(201, tumour.SHA256)(by(acmeKey, "POST", "/v2/repository/uploads?name=xray&visibility=shared", tumour.Model()))
		want(201, "")(by(acmeKey, "POST", "/v2/repository/uploads?name=secret&visibility=shared", tumour.Model()))
		want(200, `"model_name":"xray"`)(by(acmeKey, "POST", "/v2/models/xray/infer", record))
		for _, name := range []string{"acme~xray", "tumour"} {
			want(200, `"model_name":"`+name+`"`)(by(clinicKey, "POST", "/v2/models/"+name+"/infer", record))
		}
		// The policy names the model, and no other name or header leads around it.
		for _, name := range []string{"acme~secret", "secret"} {
			want(403, "")(by(clinicKey, "POST", "/v2/models/"+name+"/infer", record, "Blindbox-Model", "acme~xray", "Blindbox-Caller", "acme"))
		}
		want(403, "")(by(otherKey, "POST", "/v2/repository/uploads?name=any", tumour.Model()))
		want(201, "")(by(otherKey, "POST", "/v2/repository/uploads?name=mine", tumour.Model()))
		for _, at := range []string{"GET /v2/models", "GET /v1/models", "POST /v2/repository/index"} {
			method, path, _ := strings.Cut(at, " ")
			_, all := by(acmeKey, method, path, nil)
			status, seen := by(clinicKey, method, path, nil)
			if status != 200 || !strings.Contains(seen, `"tumour"`) || !strings.Contains(seen, `"acme~xray"`) || strings.Contains(seen, "secret") || !strings.Contains(all, `"secret"`) {
				t.Errorf("%s: %d %s, of %s", at, status, seen, all)
			}
			want(403, "only upload and query")(by(otherKey, method, path, nil))
		}
		want(403, "")(by(clinicKey, "DELETE", "/v2/repository/models/acme~xray", nil))
		want(413, "")(by(acmeKey, "POST", "/v2/repository/uploads?name=large", make([]byte, 3<<20)))
		want(413, "")(by(acmeKey, "POST", "/v2/models/xray/infer", make([]byte, 2<<10)))
		want(200, `"version":"1"`)(by(acmeKey, "DELETE", "/v2/repository/models/xray", nil))
		want(404, "")(by(clinicKey, "POST", "/v2/models/acme~xray/infer", record))
	}
}

// TestUploadThatDoesNotEnd: a body whose length nobody has declared is counted.
func TestUploadThatDoesNotEnd(t *testing.T) {
	b := serve(t, Config{Policy: parsed(t, storeDoc("")), Builtin: tumours()})
	for _, proto := range []string{"h2", "http/1.1"} {
		r := request(t, "POST", "/v2/repository/uploads?name=endless", io.LimitReader(zeros{}, 1<<30))
		r.Header.Set("Authorization", "Bearer "+acmeKey)
		resp, err := b.client(t, proto).Do(r)
		if err != nil {
			continue // cut in the middle of its body, which is as good
		}
		resp.Body.Close()
		if resp.StatusCode < 400 {
			t.Errorf("%s: %s", proto, resp.Status)
		}
	}
	r := request(t, "GET", "/v2/models", http.NoBody)
	r.Header.Set("Authorization", "Bearer "+acmeKey)
	if resp, text := do(t, b.client(t, "h2"), r); resp.StatusCode != 200 || strings.Contains(text, "endless") {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
}

// TestStoreFolders: where models lie is as the policy says, or nothing starts.
func TestStoreFolders(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		doc  string
		at   Store
		want string
	}{
		{storeDoc(""), Store{Folder: dir}, "the policy's store has no disk"},
		{storeDoc(", disk: 1GiB"), Store{}, "there is no folder for it"},
		{storeDoc(", disk: 1GiB"), Store{Folder: dir}, "there is no folder for it"},
		{modelBox + twoKeys, Store{Folder: dir}, "the policy has no store"},
	} {
		_, err := New(Config{Simulation: true, Policy: parsed(t, c.doc), Attester: signer{}, Listener: listen(t), Builtin: tumours(), Store: c.at})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, expected %q", c.at, err, c.want)
		}
	}
	onDisk := fmt.Sprintf("%s/on-disk", dir)
	_, err := New(Config{Policy: parsed(t, storeDoc(", disk: 1GiB")+"platforms: [sim-sev-snp]\n"), Attester: signer{}, Listener: listen(t), Builtin: tumours(), Store: Store{Folder: dir, State: onDisk}})
	if err == nil || !strings.Contains(err.Error(), "the keys of models") {
		t.Errorf("keys on a disk: %v", err)
	}
}

// TestReceiptNamesTheModel: what answered is in the receipt, by name and digest, also
// where the name is short for it.
func TestReceiptNamesTheModel(t *testing.T) {
	b := serve(t, Config{Policy: parsed(t, storeDoc("")), Builtin: tumours()})
	c := b.client(t, "h2")
	by := func(method, path string, body []byte) *http.Request {
		r := request(t, method, path, bytes.NewReader(body), "Blindbox-Receipt", "1")
		r.Header.Set("Authorization", "Bearer "+acmeKey)
		return r
	}
	record, _ := tumour.Sample()
	sum := sha256.Sum256(tumour.Model())
	announced := by("POST", "/v2/repository/uploads?name=xray", tumour.Model())
	announced.Header.Set("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(sum[:])+":")
	begun := by("POST", "/v2/repository/uploads?name=parts", nil)
	begun.Header.Set("Upload-Complete", "?0")
	resp, _ := do(t, c, begun)
	last := by("PATCH", resp.Header.Get("Location"), tumour.Model())
	for name, value := range map[string]string{"Upload-Offset": "0", "Upload-Complete": "?1", "Repr-Digest": announced.Header.Get("Repr-Digest")} {
		last.Header.Set(name, value)
	}
	for _, one := range []struct {
		r    *http.Request
		name string
	}{
		{announced, "acme~xray"},
		{last, "acme~parts"},
		{by("POST", "/v2/models/xray/infer", record), "acme~xray"},
		{by("POST", "/v2/models/tumour/infer", record), "tumour"},
	} {
		resp, text := do(t, c, one.r)
		if resp.StatusCode > 299 {
			t.Fatalf("%d %s", resp.StatusCode, text)
		}
		got, _ := fetched(t, c, resp, "Authorization", "Bearer "+acmeKey)
		if want := (form.Artifact{Kind: "model", Name: one.name, Digest: form.Digest(sum)}); !slices.Equal(got.Serves, []form.Artifact{want}) {
			t.Errorf("%s: serves %+v, expected %+v", one.r.URL.Path, got.Serves, want)
		}
	}
}
