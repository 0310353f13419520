package box

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/blindbox/blindbox/box/egress"
	"github.com/blindbox/blindbox/box/sandbox/ociforge"
)

// program is testdata/app, linked without the C library.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "blindbox-app-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "app")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", name, "./testdata/app")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	text, err := os.ReadFile(name)
	return string(text), err
})

// contained is where a test's box runs images: the folder of the layouts, one of
// them called app, and the digest of that.
func contained(t testing.TB) (c *Containers, digest string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIP: containers need root")
	}
	runc, err := exec.LookPath("runc")
	if err != nil {
		t.Skip("SKIP: no runc (Debian package runc)")
	}
	dir, err := os.MkdirTemp("/dev/shm", "blindbox-test-")
	if err != nil {
		t.Skip("SKIP: no /dev/shm:", err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	text, err := program()
	if err != nil {
		t.Fatal(err)
	}
	layer, err := ociforge.Tar(ociforge.Dir("etc/"), ociforge.Dir("data/"), ociforge.Dir("data/empty/"), ociforge.File("conf/app.conf", "of the image"), ociforge.Dir("tmp/"), ociforge.File("app", text))
	if err != nil {
		t.Fatal(err)
	}
	images := t.TempDir()
	digest, err = ociforge.Image{Layers: []ociforge.Layer{ociforge.Packed(layer)}, User: "1000:1001", Entrypoint: []string{"/app"}, Env: []string{"GREETING=image"}}.
		Write(filepath.Join(images, "app"))
	if err != nil {
		t.Fatal(err)
	}
	return &Containers{Images: images, Dir: filepath.Join(dir, "box"), Runtime: runc}, digest
}

// underBoth runs a test of an app from an image with runc, then with gVisor.
// isolated has the app of a policy run by what it is.
func underBoth(t *testing.T, test func(t *testing.T, c *Containers, digest string, isolated func(doc string) string)) {
	t.Run("runc", func(t *testing.T) {
		c, digest := contained(t)
		test(t, c, digest, func(doc string) string { return doc })
	})
	t.Run("gvisor", func(t *testing.T) {
		c, digest := contained(t)
		onlyGVisor(t, c)
		test(t, c, digest, underGVisor)
	})
}

// onlyGVisor has gVisor, and not runc.
func onlyGVisor(t testing.TB, c *Containers) {
	t.Helper()
	c.Runtime, c.GVisor = "", os.Getenv("BLINDBOX_RUNSC")
	if c.GVisor == "" {
		t.Skip("SKIP: no runsc in BLINDBOX_RUNSC (`make test` builds it)")
	}
}

func underGVisor(doc string) string {
	return strings.Replace(doc, "listen: 8000", "isolation: gvisor, listen: 8000", 1)
}

// withImage is a policy of an app from the image.
func withImage(digest, more string) string {
	return "name: test.box_1\napp: {image: \"oci:app\", digest: \"" + digest + "\", listen: 8000}" + twoKeys + more
}

// ask asks the app.
func (r *running) ask(t testing.TB, path, with string) string {
	t.Helper()
	resp, text := do(t, r.client(t, "h2"), request(t, "GET", path+"?with="+url.QueryEscape(with), nil))
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %s", path, resp.Status, text)
	}
	return text
}

// TestImage: an app from an image is served through the gate, with what the
// policy gives it and nothing else, and nothing of it is left behind.
func TestImage(t *testing.T) { underBoth(t, image) }

func image(t *testing.T, c *Containers, digest string, isolated func(string) string) {
	more := "egress: none\nfiles: {tmp: 1MiB, writable: [{path: /data, size: 4MiB}]}\nlimits: {memory: 256MiB, pids: 64, open_files: 64}\n"
	b := serve(t, Config{Policy: parsed(t, isolated(withImage(digest, more))), Containers: c})
	if got := b.ask(t, "/here", ""); got != "hello clinic" {
		t.Errorf("the app answers %q", got)
	}
	self := strings.Fields(b.ask(t, "/self", ""))
	if len(self) != 5 || !slices.Equal(self[1:], []string{"1000", "1001", "test-box-1", "image"}) {
		t.Fatalf("the app is %q", self)
	}
	readOnly := "read-only file system"
	if c.GVisor != "" {
		readOnly = "permission denied" // it asks whose folder it is before it asks that
	}
	for _, row := range []struct{ path, with, want string }{
		{"/dial", "tcp 1.1.1.1:443", "network is unreachable"},
		{"/dial", "tcp [2606:4700:4700::1111]:443", "network is unreachable"},
		{"/dial", "udp 9.9.9.9:53", "network is unreachable"},
		{"/dial", "tcp 169.254.169.254:80", "network is unreachable"},
		{"/dial", "tcp " + b.addr, "connection refused"}, // the box's own door
		{"/lookup", "example.com", "blocked: lookup example.com"},
		{"/direct", "http://93.184.216.34/", "network is unreachable"},
		{"/fill", "/app", readOnly},
		{"/fill", "/etc/new", readOnly},
		{"/fill", "/tmp/new", "no space left"},
		{"/fill", "/data/new", "REACHED"},
		{"/open", "/app", "too many open files"},
		{"/open", "/sys/kernel", "no such file"},
		{"/open", "/dev/sev-guest", "no such file"},
	} {
		if got := b.ask(t, row.path, row.with); !strings.Contains(got, row.want) {
			t.Errorf("%s %s: %s, expected %s", row.path, row.with, got, row.want)
		}
	}
	group := cgroup(t, c)
	b.stop()
	err := <-b.done
	b.done <- err
	if want := []Name{Starting, AppStarted, Serving, Stopping, Stopped}; err != nil || !slices.Equal(b.events.names(), want) {
		t.Errorf("%v, events %q", err, b.events.names())
	}
	if last := b.events.list[len(b.events.list)-1]; last.Egress != nil || last.Counters != nil {
		t.Errorf("the policy says nothing of logs, and the last event is %+v", last)
	}
	nothingLeft(t, c, self[0], group)
}

// cgroup returns the name of the app's control group.
func cgroup(t testing.TB, c *Containers) string {
	t.Helper()
	ids, err := filepath.Glob(filepath.Join(c.Dir, "runs", "run-*", "id"))
	if err != nil || len(ids) != 1 {
		t.Fatalf("runs %q, %v", ids, err)
	}
	id, err := os.ReadFile(ids[0])
	if err != nil {
		t.Fatal(err)
	}
	if found, err := filepath.Glob("/sys/fs/cgroup/*/" + string(id)); err != nil || len(found) == 0 {
		if _, err := os.Stat("/sys/fs/cgroup/" + string(id)); err != nil {
			t.Fatalf("no control group %s: %v", id, err)
		}
	}
	return string(id)
}

// nothingLeft looks for what a box could leave behind: files, mounts, control
// groups, and holders of the app's network.
func nothingLeft(t testing.TB, c *Containers, network, group string) {
	t.Helper()
	if left := files(c); len(left) != 0 {
		t.Errorf("left of the app: %q", left)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil || filepath.IsAbs(c.Dir) && bytes.Contains(mounts, []byte(c.Dir)) {
		t.Errorf("a mount below %s is left, or %v", c.Dir, err)
	}
	for _, pattern := range []string{"/sys/fs/cgroup/" + group, "/sys/fs/cgroup/*/" + group} {
		if found, _ := filepath.Glob(pattern); group != "" && len(found) > 0 {
			t.Errorf("left of the control group: %q", found)
		}
	}
	if network != "" {
		abandoned(t, network)
	}
}

// abandoned waits until nobody holds a network: a thread of ours that was in it
// ends by itself.
func abandoned(t testing.TB, network string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		n := holders(network)
		if n == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d threads and files still hold the app's network", n)
		}
	}
}

// files lists what is in the box's folder, but for the folders themselves and
// their locks.
func files(c *Containers) (left []string) {
	for _, pattern := range []string{"*", "runs/*"} {
		found, _ := filepath.Glob(filepath.Join(c.Dir, pattern))
		for _, f := range found {
			if base := filepath.Base(f); base != "lock" && base != "runs" {
				left = append(left, f)
			}
		}
	}
	return left
}

// names answers for every name of the test with one address.
type names struct{}

func (names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if host != "allowed.example." {
		return nil, errors.New("no such name")
	}
	return []netip.Addr{netip.MustParseAddr("93.184.216.34")}, nil
}

// TestImageEgress: an app reaches the place that the policy names, whether it
// knows of the proxy or not, and no other.
func TestImageEgress(t *testing.T) { underBoth(t, imageEgress) }

func imageEgress(t *testing.T, c *Containers, digest string, isolated func(string) string) {
	site := listen(t)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "this is "+r.Host) })}
	go srv.Serve(site)
	t.Cleanup(func() { srv.Close() })
	var mu sync.Mutex
	var dialled []string
	var refused []egress.Event
	c.Resolver = names{}
	c.Dial = func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
		mu.Lock()
		defer mu.Unlock()
		dialled = append(dialled, to.String())
		var d net.Dialer
		return d.DialContext(ctx, "tcp", site.Addr().String())
	}
	c.Refused = func(e egress.Event) {
		mu.Lock()
		defer mu.Unlock()
		refused = append(refused, e)
	}
	b := serve(t, Config{Policy: parsed(t, isolated(withImage(digest, "egress: {allow: [{host: allowed.example, port: 80}]}\nlogs: counters\n"))), Containers: c})
	for _, row := range []struct{ path, with, want string }{
		{"/proxied", "http://allowed.example/a", "REACHED: 200 this is allowed.example"},
		{"/direct", "http://allowed.example/a", "REACHED: 200 this is allowed.example"},
		{"/proxied", "http://other.example/a", "403"},
		{"/direct", "http://other.example/a", "blocked: "},
		{"/dial", "tcp 93.184.216.34:80", "network is unreachable"},
		{"/lookup", "other.example", "blocked: "},
	} {
		if got := b.ask(t, row.path, row.with); !strings.Contains(got, row.want) {
			t.Errorf("%s %s: %s, expected %s", row.path, row.with, got, row.want)
		}
	}
	network, group := strings.Fields(b.ask(t, "/self", ""))[0], cgroup(t, c)
	b.stop()
	b.done <- <-b.done
	nothingLeft(t, c, network, group)
	last := b.events.list[len(b.events.list)-1]
	if e := last.Egress; e == nil || len(e.Destinations) != 1 || e.Destinations[0].Connections != 2 || e.Refused[egress.NotAllowed] == 0 || last.Counters == nil {
		t.Errorf("the last event is %+v with %+v", last, e)
	}
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(dialled, []string{"93.184.216.34:80", "93.184.216.34:80"}) {
		t.Errorf("dialled %q", dialled)
	}
	if !slices.ContainsFunc(refused, func(e egress.Event) bool { return e.Reason == egress.NotAllowed }) {
		t.Errorf("refused %+v", refused)
	}
}

// TestImageRefused: a box that cannot run the image as the policy says does not
// open, says why, and leaves nothing.
func TestImageRefused(t *testing.T) {
	c, digest := contained(t)
	other := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte("other")))
	hiding := withImage(digest, "files:\n  writable:\n    - {path: /data, size: 1MiB}\n    - {path: /conf, size: 1MiB}\n    - {path: /new, size: 1MiB}\n")
	for _, row := range []struct {
		name, doc string
		change    func(*Containers)
		want      string
	}{
		{"another digest", withImage(other, ""), nil, "not in the layout"},
		{"no layout", strings.Replace(withImage(digest, ""), "oci:app", "oci:none", 1), nil, "no such file"},
		{"an image of a registry that nobody fetched", strings.Replace(withImage(digest, ""), "oci:app", "ghcr.io/a/b:1", 1), nil, "sha256-" + digest[7:]},
		{"a capability", strings.Replace(withImage(digest, ""), "listen", "capabilities: [CAP_SYS_ADMIN], listen", 1), nil, "CAP_SYS_ADMIN"},
		{"ends at once", strings.Replace(withImage(digest, ""), "listen", "command: [/app, end], listen", 1), nil, "exit status 4"},
		{"no such program", strings.Replace(withImage(digest, ""), "listen", "command: [/none], listen", 1), nil, "/none"},
		{"a folder that hides files", hiding, nil, fmt.Sprintf("files.writable /conf (line %d of the policy): the image has \"/conf/app.conf\" there", parsed(t, hiding).Files.Writable[1].Line)},
		{"a file", withImage(digest, "files: {writable: [{path: /app, size: 1MiB}]}\n"), nil, "expected a folder or nothing in the image"},
		{"relative folder", withImage(digest, ""), func(c *Containers) { c.Dir = "box" }, "expected an absolute path"},
		{"a folder that cannot be made", withImage(digest, ""), func(c *Containers) { c.Dir = "/proc/self/box" }, "no such file"},
		{"nothing of the runtime", withImage(digest, ""), func(c *Containers) { c.Runtime = "/none" }, "/none"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := *c
			if row.change != nil {
				row.change(&c)
			}
			b, err := New(Config{Simulation: true, Policy: parsed(t, row.doc), Attester: launched(parsed(t, row.doc)), Listener: listen(t), Containers: &c})
			if err != nil {
				t.Fatal(err)
			}
			before := networks(t)
			if err := b.Serve(t.Context()); err == nil || !strings.Contains(err.Error(), row.want) || !strings.HasPrefix(err.Error(), "box: ") {
				t.Errorf("got %v, expected %s", err, row.want)
			}
			select {
			case <-b.Ready():
				t.Error("the door was opened")
			default:
			}
			nothingLeft(t, &c, "", "")
			for _, one := range networks(t) {
				if !slices.Contains(before, one) {
					abandoned(t, one)
				}
			}
		})
	}
}

// networks lists the network namespaces that this process holds on to.
func networks(t testing.TB) (all []string) {
	t.Helper()
	for _, pattern := range []string{"/proc/self/fd/*", "/proc/self/task/*/ns/net"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			if to, _ := os.Readlink(f); strings.HasPrefix(to, "net:") {
				all = append(all, to)
			}
		}
	}
	return all
}

// TestOneBox: two boxes do not share a folder, and the second takes nothing from
// the first.
func TestOneBox(t *testing.T) {
	c, digest := contained(t)
	p := parsed(t, withImage(digest, ""))
	b := serve(t, Config{Policy: p, Containers: c})
	second, err := New(Config{Simulation: true, Policy: p, Attester: launched(p), Listener: listen(t), Containers: c})
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Serve(t.Context()); err == nil || !strings.Contains(err.Error(), "another box's that runs") {
		t.Errorf("got %v", err)
	}
	if got := b.ask(t, "/here", ""); got != "hello clinic" {
		t.Errorf("the first box's app answers %q", got)
	}
}

// TestAppFromImageIsStartedAgain, and reached again.
func TestAppFromImageIsStartedAgain(t *testing.T) { underBoth(t, startedAgain) }

func startedAgain(t *testing.T, c *Containers, digest string, isolated func(string) string) {
	b := serve(t, Config{Policy: parsed(t, isolated(withImage(digest, ""))), Containers: c})
	if resp, _ := do(t, b.client(t, "h2"), request(t, "GET", "/exit", nil)); resp.StatusCode != http.StatusBadGateway {
		t.Errorf("the request that ended the app: %s", resp.Status)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		resp, text := do(t, b.client(t, "h2"), request(t, "GET", "/here", nil))
		if resp.StatusCode == http.StatusOK && text == "hello clinic" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the app is not back: %s", resp.Status)
		}
	}
	if !slices.Contains(b.events.names(), AppExited) {
		t.Errorf("events %q", b.events.names())
	}
}

// TestNetworkFails: a box whose app's network failed ends, and its app with it.
func TestNetworkFails(t *testing.T) {
	c, digest := contained(t)
	b := serve(t, Config{Policy: parsed(t, withImage(digest, "")), Containers: c})
	network, group := strings.Fields(b.ask(t, "/self", ""))[0], cgroup(t, c)
	failed := errors.New("the rules are gone")
	connected := b.client(t, "h2")
	do(t, connected, request(t, "GET", "/here", nil))
	b.app.(*container).broken <- failed
	err := <-b.done
	b.done <- err
	if !errors.Is(err, failed) {
		t.Errorf("the box ended with %v", err)
	}
	if resp, err := connected.Do(request(t, "GET", "/here", nil)); err == nil {
		resp.Body.Close()
		t.Errorf("the box has ended and answers %s", resp.Status)
	}
	nothingLeft(t, c, network, group)
	// Nor is the folder: the next box can have it.
	next := serve(t, Config{Policy: parsed(t, withImage(digest, "")), Containers: c})
	if got := next.ask(t, "/here", ""); got != "hello clinic" {
		t.Errorf("the next box's app answers %q", got)
	}
}

// TestKilledWithImage: kill -9 of the box ends the app, and the next box starts in
// the same folder.
func TestKilledWithImage(t *testing.T) { underBoth(t, killedWithImage) }

func killedWithImage(t *testing.T, c *Containers, digest string, isolated func(string) string) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	doc := isolated(withImage(digest, "logs: counters\n"))
	cmd := exec.Command(exe, "-test.run", "^TestCanaryBox$", "-test.v")
	cmd.Env = append(os.Environ(), "CANARY_POLICY="+doc, "CANARY_IMAGES="+c.Images, "CANARY_DIR="+c.Dir, "CANARY_RUNTIME="+c.Runtime, "CANARY_GVISOR="+c.GVisor)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out := &sink{addr: make(chan string, 1)}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	var addr string
	select {
	case addr = <-out.addr:
	case <-time.After(patience):
		cmd.Process.Kill()
		t.Fatalf("the box does not open:\n%s", out)
	}
	b := &running{Box: &Box{policy: parsed(t, doc)}, addr: addr}
	network := strings.Fields(b.ask(t, "/self", ""))[0]
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	abandoned(t, network)
	next := serve(t, Config{Policy: parsed(t, doc), Containers: c})
	if got := next.ask(t, "/here", ""); got != "hello clinic" {
		t.Errorf("the next box's app answers %q", got)
	}
	cgroup(t, c) // of one run: the other's is gone
}

// holders counts the threads in a network, and our own files that are it.
func holders(network string) (n int) {
	for _, pattern := range []string{"/proc/self/fd/*", "/proc/*/task/*/ns/net"} {
		all, _ := filepath.Glob(pattern)
		for _, one := range all {
			if to, _ := os.Readlink(one); to == network {
				n++
			}
		}
	}
	return n
}
