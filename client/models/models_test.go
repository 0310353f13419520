package models

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"testing/iotest"
	"time"

	"github.com/blindbox/blindbox/examples/triage"
	"github.com/blindbox/blindbox/examples/tumour"
	"github.com/blindbox/blindbox/model"
	"github.com/blindbox/blindbox/model/foreign"
	"github.com/blindbox/blindbox/model/store"
)

// box is a server to which callers bring models.
func box(t testing.TB) *httptest.Server {
	t.Helper()
	s, err := model.NewServer(nil, model.WithStore(store.Config{
		Memory: 1 << 20, OwnerBytes: 1 << 18, OwnerModels: 3, OwnerLoads: 2, LoadTime: time.Minute,
		Disk: 1 << 20, Folder: t.TempDir(), State: t.TempDir(),
	}))
	if err != nil {
		t.Fatal(err)
	}
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set(model.CallerHeader, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		s.ServeHTTP(w, r)
	})
	srv := httptest.NewServer(h)
	t.Cleanup(func() {
		srv.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return srv
}

func clientOf(t testing.TB, srv *httptest.Server, key string) *Client {
	t.Helper()
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	return &Client{Base: u, HTTP: http.DefaultTransport, Key: key}
}

func push(t testing.TB, c *Client, file []byte, s Spec) (Model, error) {
	t.Helper()
	return c.Push(t.Context(), bytes.NewReader(file), int64(len(file)), s, nil)
}

func TestWholeJob(t *testing.T) {
	srv := box(t)
	c, other := clientOf(t, srv, "clinic"), clientOf(t, srv, "bank")
	file := tumour.Model()
	var sent []int64
	m, err := c.Push(t.Context(), bytes.NewReader(file), int64(len(file)), Spec{Name: "xray"}, func(n int64) { sent = append(sent, n) })
	if err != nil {
		t.Fatal(err)
	}
	if m.Name != "xray" || m.Version != "1" || m.ID != fmt.Sprintf("sha256:%x", sha256.Sum256(file)) || m.Owner != "clinic" || m.Visibility != "private" || !m.Optimize || m.Size != int64(len(file)) {
		t.Errorf("%+v", m)
	}
	if len(sent) == 0 || !slices.IsSorted(sent) || sent[len(sent)-1] != int64(len(file)) {
		t.Errorf("sent %v of %d", sent, len(file))
	}
	if m, err = push(t, c, file, Spec{Name: "xray", Version: "7", Shared: true, Unoptimized: true, Batch: 4}); err != nil || m.Version != "7" || m.Visibility != "shared" || m.Optimize || m.Batch != 4 {
		t.Errorf("%+v, %v", m, err)
	}
	list, err := c.List(t.Context())
	if err != nil || len(list) != 2 {
		t.Errorf("%+v, %v", list, err)
	}
	if list, err = other.List(t.Context()); err != nil || len(list) != 1 || list[0].Name != "clinic~xray" {
		t.Errorf("%+v, %v", list, err)
	}
	for _, step := range []struct {
		do             func(context.Context, string, string) (Model, error)
		loaded, pinned bool
	}{{c.Unload, false, false}, {c.Load, true, false}, {c.Pin, true, true}, {c.Unpin, true, false}} {
		if m, err := step.do(t.Context(), "xray", "1"); err != nil || m.Loaded != step.loaded || m.Pinned != step.pinned {
			t.Errorf("%+v, %v", m, err)
		}
	}
	var refused *Error
	if _, err := other.Delete(t.Context(), "clinic~xray", ""); !errors.As(err, &refused) || refused.Status != 403 {
		t.Error(err)
	}
	if d, err := c.Delete(t.Context(), "xray", ""); err != nil || d.Version != "7" || d.Name != "xray" || d.ID != m.ID || !slices.Equal(d.Left, []string{"1"}) {
		t.Errorf("%+v, %v", d, err)
	}
	if d, err := c.Delete(t.Context(), "xray", "1"); err != nil || d.Version != "1" || len(d.Left) != 0 {
		t.Errorf("%+v, %v", d, err)
	}
	if _, err := c.Delete(t.Context(), "xray", ""); !errors.As(err, &refused) || refused.Status != 404 || !strings.Contains(err.Error(), `no model "xray"`) {
		t.Error(err)
	}
}

// TestDeleteAll: each version is told of as it goes; one that somebody else takes out
// meanwhile is no error, and after an error nothing more is deleted.
func TestDeleteAll(t *testing.T) {
	srv := box(t)
	c := clientOf(t, srv, "clinic")
	for i, file := range [][]byte{tumour.Model(), tumour.Model(), tumour.Model()} {
		if _, err := push(t, c, file, Spec{Name: "xray", Version: strconv.Itoa(i + 1)}); err != nil {
			t.Fatal(err)
		}
	}
	said := http.StatusServiceUnavailable // for the second request
	c.HTTP = transport(func(r *http.Request) (*http.Response, error) {
		if strings.HasSuffix(r.URL.Path, "/versions/2") && said != 0 {
			return &http.Response{StatusCode: said, Body: io.NopCloser(strings.NewReader(`{"error":"not now"}`))}, nil
		}
		return http.DefaultTransport.RoundTrip(r)
	})
	all := func() (gone []string, failed error) {
		for d, err := range c.DeleteAll(t.Context(), "xray") {
			if failed = err; err == nil {
				gone = append(gone, d.Version)
			}
		}
		return gone, failed
	}
	var refused *Error
	if gone, err := all(); !slices.Equal(gone, []string{"3"}) || !errors.As(err, &refused) || refused.Status != said {
		t.Errorf("deleted %v, %v", gone, err)
	}
	said = 0
	if _, err := push(t, c, tumour.Model(), Spec{Name: "xray", Version: "9"}); err != nil {
		t.Fatal(err)
	}
	said = http.StatusNotFound
	if gone, err := all(); !slices.Equal(gone, []string{"9", "1"}) || err != nil {
		t.Errorf("deleted %v, %v", gone, err)
	}
	said = 0
	if gone, err := all(); !slices.Equal(gone, []string{"2"}) || err != nil {
		t.Errorf("deleted %v, %v", gone, err)
	}
	if gone, err := all(); len(gone) > 0 || !errors.As(err, &refused) || refused.Status != http.StatusNotFound {
		t.Errorf("deleted %v, %v", gone, err)
	}
}

// transport changes what is sent, or what comes back.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestGoesOn: a connection that is cut costs no byte that the box has.
func TestGoesOn(t *testing.T) {
	srv := box(t)
	c := clientOf(t, srv, "clinic")
	file := tumour.Model()
	cuts, asked := []int64{100, 0, 500}, 0
	c.HTTP = transport(func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodHead {
			asked++
		}
		if r.Method == http.MethodPatch && len(cuts) > 0 {
			r.Body = io.NopCloser(io.MultiReader(io.LimitReader(r.Body, cuts[0]), iotest.ErrReader(errors.New("cut"))))
			cuts = cuts[1:]
		}
		return http.DefaultTransport.RoundTrip(r)
	})
	if m, err := push(t, c, file, Spec{Name: "xray"}); err != nil || m.Size != int64(len(file)) || len(cuts) != 0 || asked != 3 {
		t.Errorf("%+v, %v; %d cuts left, asked %d times", m, err, len(cuts), asked)
	}
}

// TestEndedUpload: an upload that is not there any more is told in the words of what ended
// it, and not in those of a model that is missing.
func TestEndedUpload(t *testing.T) {
	srv := box(t)
	c := clientOf(t, srv, "clinic")
	c.pause = func(context.Context, time.Duration) bool { return true }
	if _, err := push(t, c, tumour.Model(), Spec{Name: "xray"}); err != nil {
		t.Fatal(err)
	}
	var refused *Error
	_, err := push(t, c, tumour.Model(), Spec{Name: "xray", Version: "1", Unoptimized: true})
	if !errors.As(err, &refused) || refused.Status != 409 || !strings.Contains(refused.Message, "another model under this version") {
		t.Errorf("another model under version 1: %v", err)
	}
	c.HTTP = transport(func(r *http.Request) (*http.Response, error) { // the box forgets it meanwhile
		if r.Method == http.MethodPatch {
			r.Method, r.Body = http.MethodDelete, http.NoBody
			if a, err := http.DefaultTransport.RoundTrip(r); err == nil {
				a.Body.Close()
			}
			return nil, errors.New("cut")
		}
		return http.DefaultTransport.RoundTrip(r)
	})
	_, err = push(t, c, tumour.Model(), Spec{Name: "other"})
	if !errors.As(err, &refused) || refused.Status != 404 || !strings.Contains(refused.Message, "the upload is not there any more") {
		t.Errorf("an upload that the box forgot: %v", err)
	}
}

// TestGivesUp: a box that takes nothing is not asked for ever, and one that refuses is
// asked once.
func TestGivesUp(t *testing.T) {
	srv := box(t)
	c := clientOf(t, srv, "clinic")
	var waited time.Duration
	c.pause = func(ctx context.Context, d time.Duration) bool {
		waited += d
		return ctx.Err() == nil
	}
	parts := 0
	c.HTTP = transport(func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodPatch {
			parts++
			return nil, errors.New("cut")
		}
		return http.DefaultTransport.RoundTrip(r)
	})
	if _, err := push(t, c, tumour.Model(), Spec{Name: "xray"}); err == nil || parts != tries || !strings.Contains(err.Error(), "cut 5 times at byte 0") {
		t.Errorf("%d parts: %v", parts, err)
	}
	if least := 31 * 100 * time.Millisecond; waited < least { // 0.1 s, and twice as much each time
		t.Errorf("waited %v in all, expected %v", waited, least)
	}
	parts = 0
	back, end := context.WithCancel(t.Context())
	defer end()
	c.HTTP = transport(func(r *http.Request) (*http.Response, error) { // goes back and forth
		if r.Method == http.MethodPatch {
			if parts++; parts > 2*tries {
				end()
			}
			return nil, errors.New("cut")
		}
		a, err := http.DefaultTransport.RoundTrip(r)
		if err == nil && r.Method == http.MethodHead {
			a.Header.Set("Upload-Offset", strconv.Itoa(parts%2))
		}
		return a, err
	})
	if _, err := c.Push(back, bytes.NewReader(tumour.Model()), int64(len(tumour.Model())), Spec{Name: "forth"}, nil); err == nil || parts > 2*tries {
		t.Errorf("%d parts: %v", parts, err)
	}
	c = clientOf(t, srv, "clinic2")
	var refused *Error
	if _, err := push(t, c, []byte("no model"), Spec{Name: "none"}); !errors.As(err, &refused) || refused.Status != 422 {
		t.Error(err)
	}
	if _, err := push(t, c, make([]byte, 1<<19), Spec{Name: "large"}); !errors.As(err, &refused) || refused.Status != 413 {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Push(ctx, bytes.NewReader(tumour.Model()), int64(len(tumour.Model())), Spec{Name: "xray"}, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := c.Push(t.Context(), strings.NewReader("short"), 10, Spec{Name: "x"}, nil); err == nil || !strings.Contains(err.Error(), "has no 10 bytes") {
		t.Error(err)
	}
}

// TestAbandoned: who gives an upload up has as many as before, and what they may have of
// the box.
func TestAbandoned(t *testing.T) {
	c := clientOf(t, box(t), "clinic")
	file := tumour.Model()
	for range 3 { // one more than may be under way at once
		ctx, giveUp := context.WithCancel(t.Context())
		c.HTTP = transport(func(r *http.Request) (*http.Response, error) {
			a, err := http.DefaultTransport.RoundTrip(r)
			if r.Method == http.MethodPatch {
				giveUp()
			}
			return a, err
		})
		if _, err := c.Push(ctx, bytes.NewReader(file), int64(len(file)), Spec{Name: "xray"}, nil); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	c.HTTP = http.DefaultTransport
	if _, err := push(t, c, file, Spec{Name: "xray"}); err != nil {
		t.Error(err)
	}
}

// TestAnswersThatAreNone: what the box says is not taken for what was asked.
func TestAnswersThatAreNone(t *testing.T) {
	for name, c := range map[string]struct {
		h    http.HandlerFunc
		want string
	}{
		"another model": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "/v2/repository/uploads/1")
			_, _ = w.Write([]byte(`{"id":"sha256:00"}`))
		}, "do not use it"},
		"a place elsewhere": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "https://evil.example/v2/repository/uploads/1")
		}, "as the place of an upload"},
		"another place": {func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Location", "/v2/models") }, "as the place of an upload"},
		"no place":      {func(http.ResponseWriter, *http.Request) {}, "as the place of an upload"},
		"no JSON": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "/v2/repository/uploads/1")
			w.Header().Set("Upload-Offset", "1000000")
			_, _ = w.Write([]byte(`hello`))
		}, "cannot be read"},
		"the door's refusal": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(403)
			_, _ = w.Write([]byte(`{"title":"the policy does not allow this","detail":"line 7"}`))
		}, "the box answers 403: the policy does not allow this: line 7"},
	} {
		srv := httptest.NewServer(c.h)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		_, err := clientOf(t, srv, "").Push(ctx, strings.NewReader("x"), 1, Spec{Name: "x"}, nil)
		cancel()
		srv.Close()
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, expected %q", name, err, c.want)
		}
	}
	if _, err := (&Client{}).List(t.Context()); err == nil {
		t.Error("no address")
	}
}

// piped is a folder in which a name is a pipe, that nobody writes into.
type piped struct {
	fstest.MapFS
	t    *testing.T
	pipe string
}

func (p piped) Open(name string) (fs.File, error) {
	if name == p.pipe {
		p.t.Errorf("%s was opened, which takes for ever", name)
	}
	return p.MapFS.Open(name)
}

// TestPipes: nothing waits for what stands in a stranger's folder in a file's place.
func TestPipes(t *testing.T) {
	folder := triage.Folder()
	names, err := fs.Glob(folder, "*")
	if err != nil || len(names) < 4 {
		t.Fatal(names, err)
	}
	for _, pipe := range names {
		all := fstest.MapFS{}
		for _, name := range names {
			data, err := fs.ReadFile(folder, name)
			if err != nil {
				t.Fatal(err)
			}
			all[name] = &fstest.MapFile{Data: data}
		}
		all[pipe].Mode = fs.ModeNamedPipe
		if p, err := Pack(piped{all, t, pipe}); err == nil || !strings.Contains(err.Error(), pipe+" is not a regular file") {
			t.Errorf("%s: %v, %v", pipe, p, err)
		}
	}
}

// TestFolder: a folder with a pipeline is brought as one file, and asked about texts.
func TestFolder(t *testing.T) {
	srv := box(t)
	c := clientOf(t, srv, "clinic")
	m, err := c.PushFolder(t.Context(), triage.Folder(), Spec{Name: "triage"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Pack(triage.Folder())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	sum, err := digest(t.Context(), p, p.Size())()
	if err != nil || m.ID != fmt.Sprintf("sha256:%x", sum) || m.Size != p.Size() {
		t.Errorf("%+v, %v", m, err)
	}
	d, err := c.Describe(t.Context(), "triage", "")
	what, several := d.Asks()
	if err != nil || what != "text" || !several || d.Platform != Pipeline || len(d.Parameters) != 5 {
		t.Errorf("%+v, %v", d, err)
	}
	out, err := c.Ask(t.Context(), "triage", "1", what, [][]byte{[]byte("chest pain"), []byte("a refund")}, "label")
	if err != nil || len(out) != 1 || !slices.Equal(out[0].Shape, []int64{2, 2}) || !strings.HasPrefix(string(out[0].Data), `["emergency",`) {
		t.Errorf("%+v, %v", out, err)
	}
	var refused *Error
	for _, items := range [][][]byte{{}, {[]byte("\xff")}} {
		if _, err := c.Ask(t.Context(), "triage", "", "text", items); !errors.As(err, &refused) || refused.Status != 400 {
			t.Error(err)
		}
	}
	if _, err := c.Ask(t.Context(), "triage", "", "image", [][]byte{{1}}); !errors.As(err, &refused) || !strings.Contains(err.Error(), "no such input") {
		t.Error(err)
	}
	if _, err := push(t, c, tumour.Model(), Spec{Name: "xray"}); err != nil {
		t.Fatal(err)
	}
	d, err = c.Describe(t.Context(), "xray", "")
	if what, several = d.Asks(); err != nil || what != "" || several {
		t.Errorf("%+v, %v", d, err)
	}
	d = Description{Platform: Pipeline, Inputs: []Value{{"image", "BYTES", []int64{1}}}} // a page at a time
	if what, several = d.Asks(); what != "image" || several {
		t.Errorf("%q, %v", what, several)
	}
}

func TestFoldersThatAreNone(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	for want, folder := range map[string]fstest.MapFS{
		"the folder has no pipeline.yaml":     {"model.onnx": file("")},
		`pipeline.yaml: 1:1: unknown key "a"`: {"pipeline.yaml": file("a: 1\n")},
		"pipeline.yaml has more than 64 KiB":  {"pipeline.yaml": file(strings.Repeat("#", 1<<16+1))},
		"open t.json: file does not exist":    {"pipeline.yaml": file("model: none.onnx\ninput: {text: {tokenizer: t.json, length: 8}}\noutput: [softmax]\n")},
	} {
		if _, err := (&Client{}).PushFolder(t.Context(), folder, Spec{}, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, expected %s", err, want)
		}
	}
}

// TestAnotherKindOfFile: what is no model is named, and not a byte of it is sent.
func TestAnotherKindOfFile(t *testing.T) {
	c := clientOf(t, box(t), "clinic")
	c.HTTP = transport(func(*http.Request) (*http.Response, error) {
		t.Error("something is sent")
		return nil, errors.New("sent")
	})
	var other *foreign.Error
	if _, err := push(t, c, []byte("GGUF\x03"), Spec{Name: "m"}); !errors.As(err, &other) || !strings.Contains(other.Fix, "optimum-cli export onnx") {
		t.Errorf("error %v", err)
	}
	folder := fstest.MapFS{"pipeline.yaml": {Data: []byte("model: m.onnx\ninput: {text: {tokenizer: t.json, length: 8}}\noutput: [softmax]\n")}, "m.onnx": {Data: []byte("PK\x03\x04")}}
	if _, err := c.PushFolder(t.Context(), folder, Spec{Name: "m"}, nil); !errors.As(err, &other) || !strings.Contains(err.Error(), "m.onnx: it seems to be a zip archive") {
		t.Errorf("error %v", err)
	}
}
