package connect

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestPrivatePlace: nobody else can open the folder, and nothing is left of it.
func TestPrivatePlace(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has a token instead")
	}
	p, err := ListenPrivate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Dir(p.Socket))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v, expected a folder with mode 0700", info.Mode(), err)
	}
	if c, err := net.Dial("unix", p.Socket); err != nil {
		t.Error(err)
	} else {
		c.Close()
	}
	if p.Token != "" || p.URL() != "http://localhost" {
		t.Errorf("%+v", p)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Dir(p.Socket)); !os.IsNotExist(err) {
		t.Errorf("the folder is still there: %v", err)
	}
}

// TestPrivatePlaceFarDown: a folder for temporary files whose path no socket can have.
func TestPrivatePlaceFarDown(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has a token instead")
	}
	deep := filepath.Join(t.TempDir(), strings.Repeat("d", 120))
	if err := os.Mkdir(deep, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", deep)
	p, err := ListenPrivate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if left, err := os.ReadDir(deep); err != nil || len(left) > 0 || strings.HasPrefix(p.Socket, deep) {
		t.Errorf("%s; left %v, %v", p.Socket, left, err)
	}
}

// TestToken: without it nothing is forwarded, and the box never sees it.
func TestToken(t *testing.T) {
	forwarded := 0
	box := func(r *http.Request) (*http.Response, error) {
		forwarded++
		if r.Header.Get("Proxy-Authorization") != "" {
			t.Error("the box was sent the token")
		}
		h := http.Header{ErrorHeader: {"BBX-221"}, "Content-Length": {"0"}}
		return &http.Response{StatusCode: http.StatusNoContent, Header: h, Body: http.NoBody, Request: r}, nil
	}
	p, err := listenWithToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if len(p.Token) < 26 || !strings.HasPrefix(p.URL(), "http://127.0.0.1:") {
		t.Errorf("%+v", p)
	}
	h, err := New(Config{Target: &url.URL{Scheme: "https", Host: "box.example"}, Transport: tripper(box), Inference: true, Token: p.Token,
		Explain: func(err error) Problem { return Problem{Status: 502, Code: "BBX-301", Detail: err.Error()} }})
	if err != nil {
		t.Fatal(err)
	}
	for given, want := range map[string]int{"": 407, "Bearer ": 407, "Bearer " + p.Token[1:]: 407, p.Token: 407, "Bearer " + p.Token: 204} {
		for _, path := range []string{"/v2", "/inference.GRPCInferenceService/ServerReady"} {
			r := httptest.NewRequest(http.MethodGet, path, nil)
			r.Host = "localhost"
			if given != "" {
				r.Header.Set("Proxy-Authorization", given)
			}
			w := httptest.NewRecorder()
			before := forwarded
			h.ServeHTTP(w, r)
			refused := w.Code == http.StatusProxyAuthRequired
			if refused != (want == 407) || refused && (forwarded != before || w.Header().Get(ErrorHeader) != CodeNoToken || !strings.Contains(w.Body.String(), `"nothing_sent":true`)) {
				t.Errorf("%s with %q: %d %s", path, given, w.Code, w.Body)
			}
			if !refused && w.Header().Get(ErrorHeader) != "" {
				t.Errorf("the box speaks for the proxy: %v", w.Header())
			}
		}
	}
	if forwarded != 1 {
		t.Errorf("%d requests were forwarded, expected 1", forwarded)
	}
}

type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
