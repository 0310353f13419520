package model

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/blindbox/blindbox/examples/tumour"
	"github.com/blindbox/blindbox/model/store"
	"github.com/blindbox/blindbox/onnx"
	pb "github.com/blindbox/blindbox/onnx/onnxtest"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// bounds of a store that has room for the tests' models.
func bounds() store.Config {
	return store.Config{Memory: 1 << 20, OwnerBytes: 1 << 18, OwnerModels: 4, OwnerLoads: 2, LoadTime: time.Minute}
}

// repository is a server to which callers bring models, on a disk if disk says so.
func repository(t testing.TB, disk bool, change func(*store.Config)) *Server {
	t.Helper()
	c := bounds()
	if disk {
		c.Disk, c.Folder, c.State = 1<<22, t.TempDir(), t.TempDir()
	}
	if change != nil {
		change(&c)
	}
	s, err := NewServer([]Loaded{mustLoad(t, "tumour", tumour.Model())}, WithStore(c))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// as sends a request of a caller.
func as(t testing.TB, s *Server, caller, method, path string, body io.Reader, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, path, body)
	r.Header.Set(CallerHeader, caller)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func want(t testing.TB, w *httptest.ResponseRecorder, status int, text string) {
	t.Helper()
	if said := strings.ReplaceAll(w.Body.String(), `\"`, `"`); w.Code != status || !strings.Contains(said, text) {
		t.Errorf("got %d %.300s, want %d with %q", w.Code, w.Body, status, text)
	}
}

// scale is a small model whose bytes differ with every n: y = n x.
func scale(n float32) []byte {
	return pb.Model(pb.Input("x", 1, "k"), pb.Initializer(pb.Floats("n", nil, n)), pb.Node("", "Mul", []string{"x", "n"}, []string{"y"}), pb.OpenOutput("y", 1))
}

func run(t testing.TB, s *Server, caller, model string) *httptest.ResponseRecorder {
	t.Helper()
	return as(t, s, caller, "POST", "/v2/models/"+model+"/infer", strings.NewReader(`{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[2]}]}`))
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}

// TestUploadRunDelete is BlindAI's whole job.
func TestUploadRunDelete(t *testing.T) {
	for _, disk := range []bool{false, true} {
		s := repository(t, disk, nil)
		file := scale(3)
		w := as(t, s, "clinic", "POST", "/v2/repository/uploads?name=triple", bytes.NewReader(file), reprDigest, digest(file))
		var c card
		if err := json.Unmarshal(w.Body.Bytes(), &c); err != nil || w.Code != 201 {
			t.Fatalf("%d %s %v", w.Code, w.Body, err)
		}
		if id := fmt.Sprintf("sha256:%x", sha256.Sum256(file)); c.Name != "triple" || c.Version != "1" || c.ID != id || c.Owner != "clinic" || c.Visibility != "private" ||
			!c.Optimize || !c.Loaded || c.Size != int64(len(file)) || c.State != "READY" {
			t.Errorf("%+v", c)
		}
		for _, name := range []string{"triple", "triple/versions/1", "clinic~triple", c.ID, strings.Replace(c.ID, ":", "-", 1)} {
			want(t, run(t, s, "clinic", name), 200, `"outputs":[{"name":"y","datatype":"FP32","shape":[1],"data":[6]}]`)
		}
		want(t, as(t, s, "clinic", "GET", "/v2/models/triple", nil), 200, `"versions":["1"]`)
		want(t, as(t, s, "clinic", "GET", "/v2/models", nil), 200, `"name":"triple","version":"1","state":"READY"`)
		want(t, as(t, s, "clinic", "POST", "/v2/repository/index", nil), 200, `[{"name":"triple"`)
		want(t, as(t, s, "clinic", "GET", "/v1/models", nil), 200, `"id":"triple","object":"model"`)

		for _, name := range []string{"triple", "clinic~triple", c.ID} {
			want(t, run(t, s, "bank", name), 404, "no model")
			want(t, as(t, s, "bank", "DELETE", "/v2/repository/models/"+name, nil), 404, "no model")
			want(t, as(t, s, "bank", "POST", "/v2/repository/models/"+name+"/unload", nil), 404, "no model")
		}
		if list := as(t, s, "bank", "GET", "/v2/models", nil).Body.String(); strings.Contains(list, "triple") || !strings.Contains(list, "tumour") {
			t.Errorf("a stranger sees %s", list)
		}
		want(t, as(t, s, "clinic", "DELETE", "/v2/repository/models/tumour", nil), 403, "owner")
		want(t, as(t, s, "clinic", "DELETE", "/v2/repository/models/triple", nil), 200, `{"name":"triple","version":"1","id":"`+c.ID+`","left":[]}`)
		want(t, run(t, s, "clinic", "triple"), 404, `no model "triple"`)
		want(t, run(t, s, "clinic", c.ID), 404, "no model")
	}
}

// TestDeletedVersion: of several versions the newest goes, and the answer says which it
// was and which the caller still has; others' models of that name are none of them.
func TestDeletedVersion(t *testing.T) {
	s := repository(t, false, nil)
	for _, up := range []struct{ who, version string }{{"clinic", "10"}, {"clinic", "2"}, {"clinic", "9"}, {"acme", "4"}} {
		want(t, as(t, s, up.who, "POST", "/v2/repository/uploads?visibility=shared&name=triple&version="+up.version, bytes.NewReader(scale(3))), 201, "")
	}
	want(t, as(t, s, "clinic", "POST", "/v2/repository/uploads?name=other", bytes.NewReader(scale(4))), 201, "")
	id := fmt.Sprintf("sha256:%x", sha256.Sum256(scale(3)))
	for _, step := range []struct{ path, version, left string }{
		{"clinic~triple", "10", `["2","9"]`}, {"triple/versions/2", "2", `["9"]`}, {id, "9", `[]`},
	} {
		want(t, as(t, s, "clinic", "DELETE", "/v2/repository/models/"+step.path, nil), 200,
			fmt.Sprintf(`{"name":"triple","version":"%s","id":"%s","left":%s}`, step.version, id, step.left))
	}
	want(t, run(t, s, "clinic", "acme~triple"), 200, `"model_version":"4"`)
}

// TestShared: another caller runs a model that its owner shares, by its owner's name,
// and cannot delete it.
func TestShared(t *testing.T) {
	s := repository(t, false, nil)
	want(t, as(t, s, "acme", "POST", "/v2/repository/uploads?name=triple&visibility=shared&version=7", bytes.NewReader(scale(3))), 201, `"visibility":"shared"`)
	want(t, run(t, s, "clinic", "triple"), 404, "no model")
	want(t, run(t, s, "clinic", "acme~triple/versions/7"), 200, `"model_name":"acme~triple","model_version":"7"`)
	want(t, as(t, s, "clinic", "DELETE", "/v2/repository/models/acme~triple", nil), 403, "owner")
	id := fmt.Sprintf("%x", sha256.Sum256(scale(3)))
	for path, canonical := range map[string]string{
		"/v2/models/acme~triple": "acme~triple", "/v2/models/tumour/infer": "tumour", "/v2/models/~tumour": "tumour", "/v2/models/sha256-" + id: "acme~triple",
		"/v2/models/sha256:" + id + "/versions/7/infer": "acme~triple", "/v2/models/none": "none", "/v2/models": "", "/v2": "", "/v1/models/tumour": "tumour", "/v1/models": "",
		"/v2/repository/models/acme~triple/load": "acme~triple", "/v2/repository/models": "", "/v2/repository/index": "",
		"/v2/repository/uploads?name=new&version=2": "clinic~new", "/v2/repository/uploads/none": "",
	} {
		got, digest, _ := s.Model("clinic", httptest.NewRequest("POST", path, nil), nil)
		if got != canonical {
			t.Errorf("%s is for %q, expected %q", path, got, canonical)
		}
		if there := canonical == "acme~triple" || canonical == "tumour"; digest.IsZero() == there || canonical == "acme~triple" && digest.String() != "sha256:"+id {
			t.Errorf("%s is for %v", path, digest)
		}
	}
	at := as(t, s, "clinic", "POST", "/v2/repository/uploads?name=six", nil, uploadComplete, "?0").Header().Get("Location")
	if got, _, _ := s.Model("clinic", httptest.NewRequest("PATCH", at, nil), nil); got != "clinic~six" {
		t.Errorf("an upload is for %q", got)
	}
	if got, _, _ := s.Model("acme", httptest.NewRequest("PATCH", at, nil), nil); got != "" {
		t.Errorf("another's upload is for %q", got)
	}
	// What the policy has decided about is what answers.
	for header, value := range map[string]string{ModelHeader: "bank~triple", ModelIDHeader: "sha256:" + strings.Repeat("0", 64)} {
		r := strings.NewReader(`{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[2]}]}`)
		want(t, as(t, s, "clinic", "POST", "/v2/models/acme~triple/infer", r, header, value), 409, "leads to another model")
	}
}

// TestResume: an upload goes on after its connection was cut.
func TestResume(t *testing.T) {
	s := repository(t, true, nil)
	file := scale(5)
	w := as(t, s, "clinic", "POST", "/v2/repository/uploads?name=five", nil, uploadComplete, "?0", uploadLength, strconv.Itoa(len(file)))
	at := w.Header().Get("Location")
	if w.Code != 204 || !strings.HasPrefix(at, "/v2/repository/uploads/") || w.Header().Get(uploadOffset) != "0" || w.Header().Get(uploadComplete) != "?0" {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	cut := io.MultiReader(bytes.NewReader(file[:20]), iotest.ErrReader(errors.New("cut")))
	want(t, as(t, s, "clinic", "PATCH", at, cut, uploadOffset, "0", uploadComplete, "?1"), 400, "20 bytes are kept, go on from there")
	want(t, run(t, s, "clinic", "five"), 404, "no model")
	want(t, as(t, s, "bank", "HEAD", at, nil), 404, "")
	if w = as(t, s, "clinic", "HEAD", at, nil); w.Code != 204 || w.Header().Get(uploadOffset) != "20" || w.Header().Get(uploadComplete) != "?0" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	want(t, as(t, s, "clinic", "PATCH", at, bytes.NewReader(file[10:]), uploadOffset, "10"), 409, "begins at byte 10, expected 20")
	if w = as(t, s, "clinic", "PATCH", at, bytes.NewReader(file[20:30]), uploadOffset, "20"); w.Code != 204 || w.Header().Get(uploadOffset) != "30" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	want(t, as(t, s, "clinic", "PATCH", at, nil, uploadOffset, "30", uploadComplete, "?1"), 400, "send the rest")
	w = as(t, s, "clinic", "PATCH", at, bytes.NewReader(file[30:]), uploadOffset, "30", uploadComplete, "?1")
	if want(t, w, 201, `"name":"five"`); w.Header().Get(uploadComplete) != "?1" {
		t.Errorf("%v", w.Header())
	}
	want(t, run(t, s, "clinic", "five"), 200, `"data":[10]`)
	want(t, as(t, s, "clinic", "HEAD", at, nil), 404, "")

	for said, status := range map[string]int{digest(file): 201, digest(file[1:]): 400, "md5=:AAAA:": 400} { // its digest comes with its end
		at = as(t, s, "clinic", "POST", "/v2/repository/uploads?name=again", nil, uploadComplete, "?0").Header().Get("Location")
		want(t, as(t, s, "clinic", "PATCH", at, bytes.NewReader(file), uploadOffset, "0"), 204, "")
		want(t, as(t, s, "clinic", "PATCH", at, nil, uploadOffset, strconv.Itoa(len(file)), uploadComplete, "?1", reprDigest, said), status, "sha")
	}
	at = as(t, s, "clinic", "POST", "/v2/repository/uploads?name=six", nil, uploadComplete, "?0", reprDigest, digest(file)).Header().Get("Location")
	want(t, as(t, s, "clinic", "PATCH", at, nil, uploadOffset, "0", reprDigest, digest(file[1:])), 409, "announced with another digest")
	want(t, as(t, s, "bank", "DELETE", at, nil), 404, "no upload")
	want(t, as(t, s, "clinic", "DELETE", at, nil), 204, "")
	want(t, as(t, s, "clinic", "PATCH", at, nil, uploadOffset, "0"), 404, "no upload")
}

// TestTooLargeForItsOwner: 413 is for a file that no caller may have, and 507 for one that
// finds no room beside what its owner has, as one does whose length nobody has declared.
func TestTooLargeForItsOwner(t *testing.T) {
	const most = 256 << 10
	large := func(n int) []byte {
		values := make([]float32, n)
		return pb.Model(pb.Input("x", 1, n), pb.Initializer(pb.Floats("n", []int64{int64(n)}, values...)), pb.Node("", "Mul", []string{"x", "n"}, []string{"y"}), pb.OpenOutput("y", 1))
	}
	fits, never := large(65510), large(65600)
	if small := len(scale(3)); len(fits) > most || len(fits)+small <= most || len(never) <= most {
		t.Fatalf("%d and %d bytes beside %d", len(fits), len(never), small)
	}
	const room, none = "quota of bytes: 256 KiB (", "larger than all that one caller may have, 256 KiB: store.owner.bytes of the policy"
	for _, c := range []struct {
		file            []byte
		beside, declare bool
		status          int
		text            string
	}{
		{fits, true, true, 507, room}, {fits, true, false, 507, room},
		{never, true, true, 413, none}, {never, true, false, 507, room}, {never, false, true, 413, none}, {never, false, false, 413, none},
	} {
		s := repository(t, false, nil)
		if c.beside {
			want(t, as(t, s, "clinic", "POST", "/v2/repository/uploads?name=small", bytes.NewReader(scale(3))), 201, "")
		}
		var length []string
		if c.declare {
			length = []string{uploadLength, strconv.Itoa(len(c.file))}
		}
		want(t, as(t, s, "clinic", "POST", "/v2/repository/uploads?name=large", bytes.NewReader(c.file), length...), c.status, c.text)
	}
}

// TestUploadsRefused: what is wrong with an upload is said, and nothing of it is kept.
func TestUploadsRefused(t *testing.T) {
	file := scale(3)
	for name, c := range map[string]struct {
		query, body string
		header      []string
		status      int
		want        string
	}{
		"no name":            {"", string(file), nil, 400, "name"},
		"a wrong name":       {"?name=../x", string(file), nil, 400, "must be up to 128 letters"},
		"a name twice":       {"?name=x&name=y", string(file), nil, 400, `"name" is there 2 times`},
		"unknown parameter":  {"?name=x&optimise=true", string(file), nil, 400, "expected name, version, visibility, optimize or batch"},
		"version":            {"?name=x&version=0", string(file), nil, 400, "a number from 1"},
		"visibility":         {"?name=x&visibility=all", string(file), nil, 400, "private or shared"},
		"optimize":           {"?name=x&optimize=1", string(file), nil, 400, "true or false"},
		"a query":            {"?name=%zz", string(file), nil, 400, "query"},
		"not a model":        {"?name=x", "hello", nil, 422, "loading"},
		"empty":              {"?name=x", "", nil, 422, "loading"},
		"longer than said":   {"?name=x", string(file), []string{uploadLength, "10"}, 400, "goes on after 10 bytes"},
		"shorter than said":  {"?name=x", string(file), []string{uploadLength, "100000"}, 400, "send the rest"},
		"another digest":     {"?name=x", string(file), []string{reprDigest, digest([]byte("x"))}, 400, "expected sha256:2d711642"},
		"malformed digest":   {"?name=x", string(file), []string{reprDigest, "sha-256=:AAAA:"}, 400, "expected sha-256=:BASE64:"},
		"digest of zeros":    {"?name=x", string(file), []string{reprDigest, "sha-256=:" + strings.Repeat("A", 43) + "=:"}, 400, "expected sha-256=:BASE64:"},
		"another hash":       {"?name=x", string(file), []string{reprDigest, "md5=:AAAA:"}, 400, "expected sha-256=:BASE64:"},
		"no length":          {"?name=x", string(file), []string{uploadLength, "-5"}, 400, "one number of bytes"},
		"complete, perhaps":  {"?name=x", string(file), []string{uploadComplete, "1"}, 400, "expected ?0 or ?1"},
		"compressed":         {"?name=x", string(file), []string{"Content-Encoding", "gzip"}, 415, "as it is"},
		"a form":             {"?name=x", string(file), []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "application/octet-stream"},
		"a form with parts":  {"?name=x", string(file), []string{"Content-Type", "multipart/form-data; boundary=x"}, 415, "application/octet-stream"},
		"more than an owner": {"?name=x", string(file) + strings.Repeat("x", 1<<18), nil, 0, ""},
		"declared too much":  {"?name=x", string(file), []string{uploadLength, "1000000"}, 413, "larger than all that one caller may have, 256 KiB: store.owner.bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			s := repository(t, true, nil)
			w := as(t, s, "clinic", "POST", "/v2/repository/uploads"+c.query, strings.NewReader(c.body), c.header...)
			if c.status != 0 {
				want(t, w, c.status, c.want)
			} else if w.Code < 400 {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			want(t, run(t, s, "clinic", "x"), 404, "no model")
			if list := as(t, s, "clinic", "GET", "/v2/models", nil).Body.String(); strings.Count(list, `"name"`) != 1 {
				t.Errorf("models %s", list)
			}
		})
	}
}

// TestQuotas: one owner's models, however many, take nothing from another's.
func TestQuotas(t *testing.T) {
	s := repository(t, false, nil)
	want(t, as(t, s, "bank", "POST", "/v2/repository/uploads?name=mine", bytes.NewReader(scale(2))), 201, "")
	accepted := 0
	for i := range 50 {
		w := as(t, s, "clinic", "POST", fmt.Sprintf("/v2/repository/uploads?name=m%d", i), bytes.NewReader(scale(float32(i))))
		if w.Code == 201 {
			accepted++
			continue
		}
		want(t, w, 507, "quota of models: 5 with this one, limit 4; delete a model, end an upload, or have more in store.owner of box.yaml")
	}
	if accepted != 4 {
		t.Errorf("%d models of one owner, limit 4", accepted)
	}
	want(t, run(t, s, "bank", "mine"), 200, `"data":[4]`)
	want(t, as(t, s, "clinic", "DELETE", "/v2/repository/models/m0", nil), 200, "")
	want(t, as(t, s, "clinic", "POST", "/v2/repository/uploads?name=again", bytes.NewReader(scale(99))), 201, "")
	want(t, as(t, s, "clinic", "DELETE", "/v2/repository/models/again", nil), 200, "")
	want(t, as(t, s, "clinic", "POST", "/v2/repository/uploads?name=open", nil, "Upload-Complete", "?0"), 204, "")
	want(t, as(t, s, "clinic", "POST", "/v2/repository/uploads?name=again", bytes.NewReader(scale(99))), 507, "5 with this one and uploads that have not ended (1), limit 4")
}

// TestSameFileOtherOptions: what a model was asked to be is part of what it is.
func TestSameFileOtherOptions(t *testing.T) {
	s := repository(t, true, nil)
	want(t, as(t, s, "clinic", "POST", "/v2/repository/uploads?name=a&optimize=true", bytes.NewReader(scale(3))), 201, `"optimize":true`)
	want(t, as(t, s, "clinic", "POST", "/v2/repository/uploads?name=b&optimize=false", bytes.NewReader(scale(3))), 201, `"optimize":false`)
	list := as(t, s, "clinic", "GET", "/v2/models", nil).Body.String()
	if strings.Count(list, `"optimize":false`) != 1 || strings.Count(list, `"owner":"clinic"`) != 2 {
		t.Error(list)
	}
	for _, name := range []string{"a", "b"} {
		want(t, run(t, s, "clinic", name), 200, `"data":[6]`)
	}
}

// TestUnloadAndPin: a model goes to the disk and comes back when it is asked for.
func TestUnloadAndPin(t *testing.T) {
	s := repository(t, true, nil)
	want(t, as(t, s, "clinic", "POST", "/v2/repository/uploads?name=a", bytes.NewReader(scale(3))), 201, "")
	do := func(what string) *httptest.ResponseRecorder {
		return as(t, s, "clinic", "POST", "/v2/repository/models/a/"+what, nil)
	}
	want(t, do("unload"), 200, `"loaded":false`)
	want(t, as(t, s, "clinic", "GET", "/v2/models/a/ready", nil), 200, `"ready":true`)
	want(t, run(t, s, "clinic", "a"), 200, `"data":[6]`)
	want(t, do("unload"), 200, `"loaded":false`)
	want(t, do("load"), 200, `"loaded":true`)
	want(t, do("pin"), 200, `"pinned":true`)
	want(t, do("unload"), 409, "pinned")
	want(t, do("unpin"), 200, `"pinned":false`)
	want(t, do("other"), 404, "no such path")
	want(t, do("load/more"), 404, "no such path")
	want(t, as(t, s, "clinic", "GET", "/v2/repository/models/a/load", nil), 405, "must be POST")
	want(t, as(t, s, "clinic", "GET", "/v2/repository/models/a", nil), 405, "must be DELETE")
	want(t, as(t, s, "clinic", "DELETE", "/v2/repository/models/a/versions/2", nil), 404, "version 2")
	want(t, as(t, s, "clinic", "GET", "/v2/repository/models", nil), 404, "no such path")
}

// TestKeptAcrossRestarts: with a disk, what was acknowledged is there again.
func TestKeptAcrossRestarts(t *testing.T) {
	c := bounds()
	c.Disk, c.Folder, c.State = 1<<22, t.TempDir(), t.TempDir()
	open := func() *Server {
		s, err := NewServer(nil, WithStore(c))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	want(t, as(t, s, "clinic", "POST", "/v2/repository/uploads?name=a", bytes.NewReader(scale(3))), 201, "")
	want(t, as(t, s, "clinic", "POST", "/v2/repository/models/a/pin", nil), 200, "")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	want(t, run(t, s, "clinic", "a"), 503, "stopping")
	s = open()
	for end := time.Now().Add(time.Minute); s.store.Stats("clinic").Own.Ready != 1; time.Sleep(time.Millisecond) {
		if time.Now().After(end) { // what is pinned is loaded, though nobody asks for it
			t.Fatal("what is pinned is not loaded")
		}
	}
	want(t, run(t, s, "clinic", "a"), 200, `"data":[6]`)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestTurns: what is uploaded is worked at side by side only while nobody runs anything,
// and waits for nobody where there is one run in all.
func TestTurns(t *testing.T) {
	for runs, want := range map[int][2]bool{1: {false, false}, 2: {true, false}} {
		s, err := NewServer(nil, WithStore(bounds()), WithConcurrency(runs))
		if err != nil {
			t.Fatal(err)
		}
		for i := range 2 {
			end, alone, err := s.turn(t.Context(), "clinic")
			if err != nil || alone != want[i] {
				t.Errorf("%d runs, %d of them taken: alone %v, %v", runs, i, alone, err)
				continue
			}
			end()
			if i == 0 {
				if _, err := s.runs.Acquire(t.Context(), "bank"); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestPanicInAModel: what fails inside of one model is that request's error alone, and
// takes nobody's place.
func TestPanicInAModel(t *testing.T) {
	s := repository(t, false, nil)
	if err := s.refusal(t.Context(), &store.LoadError{Model: "clinic~a", Panic: true, Cause: errors.New("secret inside")}); !strings.Contains(err.Error(), "clinic~a failed inside") || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
	if f := failureOf(errors.New("secret inside")); f.status != http.StatusInternalServerError || strings.Contains(f.text, "secret") {
		t.Error(f)
	}
	bad := &served{inputs: []onnx.ValueInfo{{Name: "x", Type: tensor.Float32, Shape: []int64{1}}}} // has no session
	c := bounds()
	c.Loader, c.Turn, c.Startup = panics{&loader{s.limits, s.runs, s.budget}}, s.turn, []store.Startup{{Name: "bad", Digest: store.Digest{1}, Ready: bad}}
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	var err error
	if s.store, err = store.Open(c); err != nil {
		t.Fatal(err)
	}
	want(t, as(t, s, "clinic", "POST", "/v2/repository/uploads?name=a", bytes.NewReader(scale(3))), 201, "")
	for range 2 * s.inFlight {
		want(t, as(t, s, "bank", "POST", "/v2/repository/uploads?name=b", strings.NewReader("panic")), 422, "loading bank~b failed inside")
		func() {
			defer func() {
				if recover() == nil { // net/http's server does so, and ends the connection
					t.Error("the run did not panic: this test shows nothing")
				}
			}()
			run(t, s, "bank", "bad")
		}()
	}
	if now := s.runs.Stats(); now.Running+now.Waiting+now.BackgroundRunning+now.BackgroundWaiting != 0 || len(s.flight) != 0 {
		t.Errorf("%+v, %d in flight", now, len(s.flight))
	}
	want(t, run(t, s, "clinic", "a"), 200, `"data":[6]`)
}

// panics is a loader that panics at a file that says so.
type panics struct{ *loader }

func (p panics) Load(ctx context.Context, options string, r io.Reader) (store.Ready, error) {
	head := make([]byte, 5)
	if n, _ := io.ReadFull(r, head); string(head[:n]) == "panic" {
		panic("as the file says")
	}
	return p.loader.Load(ctx, options, io.MultiReader(bytes.NewReader(head), r))
}
