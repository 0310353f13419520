package box

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/blindbox/blindbox/client/models"
	"github.com/blindbox/blindbox/examples/tumour"
	pb "github.com/blindbox/blindbox/onnx/onnxtest"
)

// visitor is a caller of a box, behind its gate.
type visitor struct {
	*http.Client
	key string
}

func (v *visitor) do(t testing.TB, method, path string, body io.Reader, header ...string) (int, string) {
	t.Helper()
	r := request(t, method, path, body, header...)
	r.Header.Set("Authorization", "Bearer "+v.key)
	resp, text := do(t, v.Client, r)
	return resp.StatusCode, text
}

func (v *visitor) want(t testing.TB, status int, part, method, path string, body io.Reader, header ...string) {
	t.Helper()
	if got, text := v.do(t, method, path, body, header...); got != status || !strings.Contains(strings.ReplaceAll(text, `\"`, `"`), part) {
		t.Errorf("%s %s: got %d %.300s, expected %d with %q", method, path, got, text, status, part)
	}
}

// runs checks that a caller's model answers.
func (v *visitor) runs(t testing.TB, name string) {
	t.Helper()
	record, _ := tumour.Sample()
	v.want(t, 200, `"model_name":"`+name+`"`, "POST", "/v2/models/"+name+"/infer", bytes.NewReader(record))
}

// pusher sends models as `blindbox model push` does.
func (v *visitor) pusher(t testing.TB) *models.Client {
	t.Helper()
	at, err := url.Parse("https://box.example")
	if err != nil {
		t.Fatal(err)
	}
	return &models.Client{Base: at, HTTP: v.Transport, Key: v.key}
}

func (v *visitor) push(t testing.TB, name string, file []byte) models.Model {
	t.Helper()
	m, err := v.pusher(t).Push(t.Context(), bytes.NewReader(file), int64(len(file)), models.Spec{Name: name, Shared: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// changed is the same model with another text inside: other bytes, another id.
func changed(i int) []byte { return append(tumour.Model(), pb.Str(6, fmt.Sprint("copy ", i))...) }

// abuseDoc is a box to which two callers who do not trust each other bring models.
func abuseDoc(disk string) string {
	return "name: clinic\nmodels: [{name: tumour, builtin: tumour}]\nstore: {memory: 8MiB" + disk + ", owner: {bytes: 2MiB, models: 20, loads: 8}}\nlimits: {request: 16KiB}\n" +
		"callers:\n  - {name: acme, api_key: \"" + hash(acmeKey) + "\", may: [upload, delete, list, query]}\n" +
		"  - {name: other, api_key: \"" + hash(otherKey) + "\", may: [upload, delete, list, query]}\n"
}

func abused(t testing.TB, at Store) (b *running, acme, other *visitor) {
	t.Helper()
	disk := ""
	if at != (Store{}) {
		disk = ", disk: 16MiB"
	}
	b = serve(t, Config{Policy: parsed(t, abuseDoc(disk)), Builtin: tumours(), Store: at})
	return b, &visitor{b.client(t, "h2"), acmeKey}, &visitor{b.client(t, "http/1.1"), otherKey}
}

// TestTwoThousandUploads: models that differ in a text are as many as the quota says,
// and nobody else's runs or uploads notice.
func TestTwoThousandUploads(t *testing.T) {
	b, acme, other := abused(t, Store{})
	other.push(t, "mine", tumour.Model())
	var all sync.WaitGroup
	var next, taken, refused atomic.Int64
	for range 8 {
		all.Go(func() {
			for i := next.Add(1); i <= 2000 && !t.Failed(); i = next.Add(1) {
				switch status, text := acme.do(t, "POST", fmt.Sprint("/v2/repository/uploads?name=m", i), bytes.NewReader(changed(int(i)))); {
				case status == 201:
					taken.Add(1)
				case status == 507 && strings.Contains(text, "quota of "):
					refused.Add(1)
				default:
					t.Errorf("upload %d: %d %.200s", i, status, text)
				}
			}
		})
	}
	for next.Load() < 2000 && !t.Failed() {
		other.runs(t, "mine")
	}
	all.Wait()
	if taken.Load() != 20 || refused.Load() != 1980 {
		t.Errorf("%d taken, %d refused, expected 20 and 1980", taken.Load(), refused.Load())
	}
	other.push(t, "more", changed(0))
	other.runs(t, "more")
	list, err := acme.pusher(t).List(t.Context())
	held := int64(0)
	for _, m := range list {
		if m.Owner == "acme" {
			held += m.Memory
		}
	}
	if owner := b.policy.Store.OwnerBytes; err != nil || held == 0 || held > owner {
		t.Errorf("acme's models hold %d bytes of %d, %v", held, owner, err)
	}
}

// TestDeclaredLength: what arrives is counted, whatever was said about it.
func TestDeclaredLength(t *testing.T) {
	_, acme, other := abused(t, Store{Folder: t.TempDir(), State: t.TempDir()})
	file := tumour.Model()
	const uploads = "/v2/repository/uploads?name=x"
	for _, v := range []*visitor{acme, other} {
		v.want(t, 400, "goes on after 100 bytes", "POST", uploads, bytes.NewReader(file), "Upload-Length", "100")
		v.want(t, 400, "send the rest", "POST", uploads, bytes.NewReader(file), "Upload-Length", "100000")
		v.want(t, 413, "store.owner.bytes", "POST", uploads, bytes.NewReader(file), "Upload-Length", "9223372036854775807")
		v.want(t, 400, "one number of bytes", "POST", uploads, bytes.NewReader(file), "Upload-Length", "-1")
		v.want(t, 404, "no model", "GET", "/v2/models/x", nil)
		v.push(t, "whole", file)
		v.runs(t, "whole")
	}
}

// TestMalformedDigests: a digest or an id that is none is a caller's mistake.
func TestMalformedDigests(t *testing.T) {
	_, acme, _ := abused(t, Store{})
	acme.push(t, "x", tumour.Model())
	for _, said := range []string{"sha-256=:AAAA:", "sha-256=::", "sha-256=:" + strings.Repeat("A", 44) + ":", "sha-256", "=", "md5=:AAAA:", "sha-256=:" + strings.Repeat("%", 1000) + ":"} {
		acme.want(t, 400, "expected sha-256=:BASE64:", "POST", "/v2/repository/uploads?name=y", bytes.NewReader(tumour.Model()), "Repr-Digest", said)
	}
	for _, id := range []string{"sha256:", "sha256:xyz", "sha256:" + tumour.SHA256[:63], "sha256:" + tumour.SHA256 + "0", "sha256-" + strings.Repeat("z", 64), "sha256:" + strings.Repeat("0", 64)} {
		acme.want(t, 404, "", "GET", "/v2/models/"+id, nil)
		acme.want(t, 404, "", "DELETE", "/v2/repository/models/"+id, nil)
	}
	acme.runs(t, "x")
}

// TestStrangerDeletes: an id or a name of another's model takes nothing from its owner.
func TestStrangerDeletes(t *testing.T) {
	_, acme, other := abused(t, Store{})
	m := acme.push(t, "x", tumour.Model())
	if _, err := acme.pusher(t).Push(t.Context(), bytes.NewReader(changed(1)), int64(len(changed(1))), models.Spec{Name: "secret"}, nil); err != nil {
		t.Fatal(err)
	}
	forged := []string{"Blindbox-Caller", "acme", "Blindbox_Caller", "acme", "Blindbox-Model", "acme~x"}
	for _, name := range []string{"acme~x", m.ID, strings.Replace(m.ID, ":", "-", 1), "acme~x/versions/1"} {
		other.want(t, 403, "its owner", "DELETE", "/v2/repository/models/"+name, nil, forged...)
		other.want(t, 403, "its owner", "POST", "/v2/repository/models/"+name+"/unload", nil, forged...)
	}
	secret := sha256.Sum256(changed(1))
	for _, name := range []string{"acme~secret", "secret", fmt.Sprintf("sha256:%x", secret), "x"} {
		other.want(t, 404, "no model", "DELETE", "/v2/repository/models/"+name, nil, forged...)
	}
	other.want(t, 403, "its owner", "DELETE", "/v2/repository/models/tumour", nil)
	acme.runs(t, "x")
	acme.runs(t, "secret")
}

// TestSameFileOtherOptions: the options are part of what a model is.
func TestSameFileOtherOptions(t *testing.T) {
	_, acme, _ := abused(t, Store{Folder: t.TempDir(), State: t.TempDir()})
	for i, unoptimized := range []bool{false, true, false} {
		m, err := acme.pusher(t).Push(t.Context(), bytes.NewReader(tumour.Model()), int64(len(tumour.Model())), models.Spec{Name: "x", Unoptimized: unoptimized}, nil)
		if err != nil || m.Version != fmt.Sprint(i+1) || m.Optimize == unoptimized {
			t.Errorf("%+v, %v", m, err)
		}
	}
	acme.want(t, 200, `"left":`, "DELETE", "/v2/repository/models/x/versions/1", nil)
	for _, version := range []string{"2", "3"} {
		record, _ := tumour.Sample()
		acme.want(t, 200, `"model_version":"`+version+`"`, "POST", "/v2/models/x/versions/"+version+"/infer", bytes.NewReader(record))
	}
}

// TestUploadInTheMiddle: an upload that has not ended stops nobody's runs, loads or
// uploads, nor its owner's.
func TestUploadInTheMiddle(t *testing.T) {
	_, acme, other := abused(t, Store{Folder: t.TempDir(), State: t.TempDir()})
	in, out := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		status, _ := acme.do(t, "POST", "/v2/repository/uploads?name=slow", in)
		ended <- status
	}()
	file := tumour.Model()
	if _, err := out.Write(file[:len(file)/2]); err != nil {
		t.Fatal(err)
	}
	for i, v := range []*visitor{acme, other} {
		v.push(t, "x", changed(i))
		v.want(t, 200, "", "POST", "/v2/repository/models/x/unload", nil)
		v.runs(t, "x")
		v.want(t, 200, `"left":`, "DELETE", "/v2/repository/models/x", nil)
		v.want(t, 404, "no model", "GET", "/v2/models/slow", nil)
	}
	if _, err := out.Write(file[len(file)/2:]); err != nil {
		t.Fatal(err)
	}
	out.Close()
	if status := <-ended; status != 201 {
		t.Error(status)
	}
	acme.runs(t, "slow")
}

// cutting ends the body of the first part of an upload after some bytes.
type cutting struct {
	http.RoundTripper
	after int64
	cuts  int
}

func (c *cutting) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPatch && c.cuts == 0 {
		c.cuts++
		r.Body = io.NopCloser(io.MultiReader(io.LimitReader(r.Body, c.after), iotest.ErrReader(errors.New("cut"))))
	}
	return c.RoundTripper.RoundTrip(r)
}

// TestCutInMidUpload: a connection that ends in the middle of a file leaves an upload
// that goes on, and the model is the file.
func TestCutInMidUpload(t *testing.T) {
	_, acme, other := abused(t, Store{Folder: t.TempDir(), State: t.TempDir()})
	for _, v := range []*visitor{acme, other} {
		file := changed(1)
		c := &cutting{RoundTripper: v.Transport, after: int64(len(file) / 2)}
		p := v.pusher(t)
		p.HTTP = c
		m, err := p.Push(t.Context(), bytes.NewReader(file), int64(len(file)), models.Spec{Name: "x"}, nil)
		if want := fmt.Sprintf("sha256:%x", sha256.Sum256(file)); err != nil || m.ID != want || c.cuts != 1 {
			t.Errorf("%+v, %v, %d cuts", m, err, c.cuts)
		}
		v.runs(t, "x")
	}
}

// TestBytesOnTheWire: a model takes as many bytes on the wire as it has, and a little for
// frames and headers.
func TestBytesOnTheWire(t *testing.T) {
	w := &wire{Listener: listen(t)}
	b := serve(t, Config{Policy: parsed(t, abuseDoc("")), Builtin: tumours(), Listener: w})
	acme := &visitor{b.client(t, "h2"), acmeKey}
	acme.push(t, "first", tumour.Model())
	file := append(tumour.Model(), pb.Str(6, strings.Repeat("doc ", 10_000))...)
	before := w.arrived.Load()
	acme.push(t, "x", file)
	if sent := w.arrived.Load() - before; sent > int64(len(file))*101/100+2048 {
		t.Errorf("%d bytes for a file of %d", sent, len(file))
	}
}

// TestHostileDisk: a sealed file that is not the one that was sealed is refused by the
// model's name; nothing else is affected, and an upload makes it whole.
func TestHostileDisk(t *testing.T) {
	for name, harm := range map[string]struct {
		do   func(file, older, another string) error
		want string
	}{
		"altered": {func(file, _, _ string) error {
			data, err := os.ReadFile(file)
			data[len(data)/2] ^= 1
			return errors.Join(err, os.WriteFile(file, data, 0o600))
		}, "was altered"},
		"cut":         {func(file, _, _ string) error { return os.Truncate(file, 100) }, "has 100 bytes, expected"},
		"missing":     {func(file, _, _ string) error { return os.Remove(file) }, "is missing"},
		"rolled back": {func(file, older, _ string) error { return os.Rename(older, file) }, "is another file, or an older version of it"},
		"exchanged":   {func(file, _, another string) error { return os.Rename(another, file) }, "is another file, or an older version of it"},
		"a link to it": {func(file, _, _ string) error {
			return errors.Join(os.Rename(file, file+".moved"), os.Symlink(file+".moved", file))
		}, "is not a regular file"},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			_, acme, other := abused(t, Store{Folder: folder, State: t.TempDir()})
			newest := func(known []string) (string, []string) {
				files, err := filepath.Glob(filepath.Join(folder, "*.sealed"))
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range files {
					if !slices.Contains(known, f) {
						return f, files
					}
				}
				t.Fatal("nothing was sealed")
				return "", nil
			}
			keep := func(file string) string { // the host keeps what it has seen
				data, err := os.ReadFile(file)
				kept := filepath.Join(t.TempDir(), "kept")
				if err := errors.Join(err, os.WriteFile(kept, data, 0o600)); err != nil {
					t.Fatal(err)
				}
				return kept
			}
			other.push(t, "mine", changed(1))
			another, known := newest(nil)
			another = keep(another)
			acme.push(t, "x", changed(2))
			old, known := newest(known)
			older := keep(old)
			acme.want(t, 200, `"left":`, "DELETE", "/v2/repository/models/x", nil)
			acme.push(t, "x", changed(2))
			file, _ := newest(slices.DeleteFunc(known, func(f string) bool { return f == old }))
			acme.want(t, 200, "", "POST", "/v2/repository/models/x/unload", nil)
			if err := harm.do(file, older, another); err != nil {
				t.Fatal(err)
			}
			record, _ := tumour.Sample()
			acme.want(t, 500, "the sealed file of acme~x "+harm.want, "POST", "/v2/models/x/infer", bytes.NewReader(record))
			acme.want(t, 200, `"UNAVAILABLE"`, "GET", "/v2/models", nil)
			other.runs(t, "mine")
			acme.runs(t, "tumour")
			acme.push(t, "x", changed(2))
			acme.runs(t, "x")
		})
	}
}

// TestOneBoxInItsFolders: a second box takes neither the files nor the keys of the first.
func TestOneBoxInItsFolders(t *testing.T) {
	at := Store{Folder: t.TempDir(), State: t.TempDir()}
	_, acme, _ := abused(t, at)
	acme.push(t, "x", tumour.Model())
	for _, same := range []Store{at, {Folder: at.Folder, State: t.TempDir()}, {Folder: t.TempDir(), State: at.State}} {
		_, err := New(Config{Simulation: true, Policy: parsed(t, abuseDoc(", disk: 16MiB")), Attester: signer{}, Listener: listen(t), Builtin: tumours(), Store: same})
		if err == nil || !strings.Contains(err.Error(), "another box uses it; nothing was changed") {
			t.Error(err)
		}
	}
	acme.want(t, 200, "", "POST", "/v2/repository/models/x/unload", nil)
	acme.runs(t, "x")
}

// TestErrorsByName: what is wrong is said, each with a status of its own and no more than
// its caller may know.
func TestErrorsByName(t *testing.T) {
	_, acme, other := abused(t, Store{Folder: t.TempDir(), State: t.TempDir()})
	acme.push(t, "x", tumour.Model())
	wrong := sha256.Sum256([]byte("another file"))
	const uploads = "/v2/repository/uploads?name="
	acme.want(t, 400, "must be up to 128 letters", "POST", uploads+"..%2Fx", bytes.NewReader(tumour.Model()))
	acme.want(t, 400, "expected sha256:"+fmt.Sprintf("%x", wrong[:4]), "POST", uploads+"y", bytes.NewReader(tumour.Model()), "Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(wrong[:])+":")
	acme.want(t, 422, "loading acme~y", "POST", uploads+"y", strings.NewReader("no model"))
	acme.want(t, 415, "as it is", "POST", uploads+"y", bytes.NewReader(tumour.Model()), "Content-Encoding", "gzip")
	acme.want(t, 409, "another model under this version", "POST", uploads+"x&version=1", bytes.NewReader(changed(1)))
	acme.want(t, 404, "no upload", "PATCH", "/v2/repository/uploads/0123", bytes.NewReader(nil), "Upload-Offset", "0")
	acme.want(t, 400, "the model has no such input", "POST", "/v2/models/x/infer", strings.NewReader(`{"inputs":[{"name":"record","datatype":"BOOL","shape":[1],"data":[true]}]}`))
	acme.want(t, 413, "", "POST", "/v2/models/x/infer", bytes.NewReader(make([]byte, 17<<10)))
	other.want(t, 404, `no model "x"`, "POST", "/v2/models/x/infer", strings.NewReader("{}"))
}

var faultRow = regexp.MustCompile("(?m)^\\|.*\\| `([a-z/]+)` (Test[A-Za-z]+(?:, Test[A-Za-z]+)*) \\|$")

// TestFaultsAreTested: each row of the table in docs/models.md names tests that exist.
func TestFaultsAreTested(t *testing.T) {
	page, err := os.ReadFile("../docs/models.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := faultRow.FindAllSubmatch(page, -1)
	if len(rows) < 15 {
		t.Errorf("%d rows name tests", len(rows))
	}
	for _, row := range rows {
		var code []byte
		files, _ := filepath.Glob(filepath.Join("..", string(row[1]), "*_test.go"))
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			code = append(code, text...)
		}
		for _, name := range strings.Split(string(row[2]), ", ") {
			if !bytes.Contains(code, []byte("\nfunc "+name+"(")) {
				t.Errorf("docs/models.md names %s of %s, which is not there", name, row[1])
			}
		}
	}
}
