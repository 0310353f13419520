package sandbox_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/blindbox/blindbox/box/sandbox"
	"github.com/blindbox/blindbox/box/sandbox/oci"
	"github.com/blindbox/blindbox/box/sandbox/ociforge"
	"github.com/blindbox/blindbox/box/sandbox/rootfs"
)

func TestMain(m *testing.M) {
	keepElsewhere()
	if len(os.Args) > 1 && os.Args[1] == supervisorArg {
		supervise(os.Args[2:])
		return
	}
	os.Exit(m.Run())
}

// keepElsewhere is a keeper on another thread than the first one: a program can be on
// any of its threads by the time that it calls Keep.
func keepElsewhere() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	done := make(chan bool)
	go func() {
		defer close(done)
		sandbox.Keep(os.Args)
	}()
	<-done
}

// shift is a range of users that the machine has not.
const shift = 1 << 20

// needs skips a test that cannot run here.
func needs(t testing.TB) (runc string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIP: containers need root")
	}
	runc, err := exec.LookPath("runc")
	if err != nil {
		t.Skip("SKIP: no runc (Debian package runc)")
	}
	return runc
}

// inMemory is a folder in memory that an app's user namespace can get through.
func inMemory(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "blindbox-test-")
	if err != nil {
		t.Skip("SKIP: no /dev/shm:", err)
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// hostile is the program of testdata/hostile, linked without the C library.
var hostile = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "blindbox-hostile-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "hostile")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", name, "./testdata/hostile")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, err
	}
	return os.ReadFile(name)
})

// image makes an image around the hostile program.
func image(t testing.TB, change func(*ociforge.Image), more ...ociforge.Entry) (layout string, digest oci.Digest) {
	t.Helper()
	program, err := hostile()
	if err != nil {
		t.Fatal(err)
	}
	secret := ociforge.File("root-only", "the image's own secret")
	secret.Mode = 0o600
	entries := append([]ociforge.Entry{
		ociforge.Dir("proc/"), ociforge.Dir("dev/"), ociforge.Dir("tmp/"), ociforge.Dir("etc/"), ociforge.Dir("var/"), ociforge.Dir("run/"),
		ociforge.File("etc/passwd", "root:x:0:0::/:/none\napp:x:1000:1001::/:/none\n"),
		ociforge.File("etc/group", "root:x:0:\nstaff:x:50:\n"),
		secret, ociforge.File("hostile", string(program)),
	}, more...)
	layer, err := ociforge.Tar(entries...)
	if err != nil {
		t.Fatal(err)
	}
	im := ociforge.Image{Layers: []ociforge.Layer{{MediaType: ociforge.MediaTar, Stored: layer, DiffID: ociforge.Digest(layer)}}, User: "app", Entrypoint: []string{"/hostile"}, Env: []string{"FROM=image", "BOTH=image"}}
	if change != nil {
		change(&im)
	}
	dir := t.TempDir()
	s, err := im.Write(dir)
	if err != nil {
		t.Fatal(err)
	}
	digest, err = oci.ParseDigest(s)
	if err != nil {
		t.Fatal(err)
	}
	return dir, digest
}

// unpacked opens and unpacks an image.
func unpacked(t testing.TB, dir, layout string, digest oci.Digest) (oci.Config, string) {
	t.Helper()
	im, err := oci.Open(layout, digest, "linux", runtime.GOARCH, oci.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	defer im.Close()
	store, err := rootfs.NewStore(rootfs.Config{Dir: filepath.Join(dir, "images"), Shift: shift, Limits: rootfs.DefaultLimits()})
	if err != nil {
		t.Fatal(err)
	}
	tree, err := store.Get(im)
	if err != nil {
		t.Fatal(err)
	}
	return *im.Config, tree.Path
}

// config is an app of the hostile program with everything at its strictest.
func config(t testing.TB) sandbox.Config {
	t.Helper()
	runc := needs(t)
	dir := inMemory(t)
	layout, digest := image(t, nil)
	c, root := unpacked(t, dir, layout, digest)
	return sandbox.Config{
		Name: "hostile", Listen: "127.0.0.1:8000", Env: map[string]string{"LISTEN": "127.0.0.1:8000", "BOTH": "policy"},
		Limits: sandbox.Limits{Memory: 256 << 20, Pids: 64, OpenFiles: 256},
		Image:  c, Root: root, Dir: filepath.Join(dir, "runs"), Runtime: runc, Shift: shift,
		StartGrace: time.Minute, StopGrace: 10 * time.Second,
	}
}

// started starts an app and ends it with the test.
func started(t testing.TB, cfg sandbox.Config) *sandbox.App {
	t.Helper()
	var out locked
	if cfg.Output == nil {
		cfg.Output = &out
	}
	app, err := sandbox.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := app.Start(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	t.Cleanup(app.Stop)
	return app
}

// locked is a buffer for several goroutines.
type locked struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// get asks the app.
func get(t testing.TB, app *sandbox.App, path string) string {
	t.Helper()
	body, err := ask(t.Context(), app, path)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return body
}

func ask(ctx context.Context, app *sandbox.App, path string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tr := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return app.Dial(ctx) }}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://app"+path, nil)
	if err != nil {
		return "", err
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return strings.TrimSpace(string(body)), err
}
