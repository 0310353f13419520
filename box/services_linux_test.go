package box

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// withServices is a policy of an app and two services, all from the one image: a
// database that the app asks, and a worker that answers nobody.
func withServices(digest, ofDB, more string) string {
	return withImage(digest, `services:
  - {name: db, image: "oci:app", digest: "`+digest+`", command: [/app, serve, "0.0.0.0:9000"], listen: 9000, env: {GREETING: stored}`+ofDB+`}
  - {name: worker, image: "oci:app", digest: "`+digest+`", command: [/app, sleep], user: "7:8"}
`+more)
}

// through asks the database by way of the app.
func (r *running) through(t testing.TB, path, with string) string {
	t.Helper()
	return r.ask(t, "/direct", "http://db:9000"+path+"?with="+url.QueryEscape(with))
}

// TestServices: services reach one another by name and are reached by nobody else,
// and no one of them has what another one has.
func TestServices(t *testing.T) { underBoth(t, runServices) }

func runServices(t *testing.T, c *Containers, digest string, isolated func(string) string) {
	files := ", files: {writable: [{path: /data, size: 1MiB}]}"
	b := serve(t, Config{Policy: parsed(t, isolated(withServices(digest, files, "egress: none\nlimits: {memory: 256MiB}\n"))), Containers: c})
	if got := b.ask(t, "/here", ""); got != "hello clinic" {
		t.Errorf("the app answers %q", got)
	}
	own := strings.Fields(b.ask(t, "/self", ""))
	db := strings.Fields(strings.TrimPrefix(b.through(t, "/self", ""), "REACHED: 200 "))
	if len(db) != 5 || !slices.Equal(db[1:], []string{"1000", "1001", "db", "stored"}) {
		t.Fatalf("the database is %q", db)
	}
	mine, err := os.Readlink("/proc/self/ns/net")
	// Under gVisor each sees the number of a network in its own kernel.
	if err != nil || c.GVisor == "" && db[0] == own[0] || db[0] == mine || own[0] == mine {
		t.Errorf("networks: the app's %s, the database's %s, ours %s", own[0], db[0], mine)
	}
	for _, row := range []struct {
		who        func(testing.TB, string, string) string
		path, with string
		want       string
	}{
		{b.through, "/fill", "/data/stored", "no space left"}, // its own folder
		{b.ask, "/open", "/data/stored", "no such file"},      // is not the app's
		{b.ask, "/processes", "", "REACHED: /app"},
		{b.through, "/processes", "", "/app serve 0.0.0.0:9000"},
		{b.through, "/direct", "http://worker:9000/here", "connection refused"},
		{b.through, "/direct", "http://app:8000/here", "connection refused"}, // it listens for the box alone
		{b.through, "/direct", "http://test-box-1:8000/here", "connection refused"},
		{b.through, "/dial", "tcp 1.1.1.1:443", "network is unreachable"},
		{b.ask, "/dial", "tcp 1.1.1.1:443", "network is unreachable"},
		{b.through, "/lookup", "example.com", "blocked: lookup example.com"},
		{b.through, "/dial", "tcp " + b.addr, "connection refused"}, // the box's own door
		{b.through, "/lookup", "worker", "198.18.1.3"},
	} {
		if got := row.who(t, row.path, row.with); !strings.Contains(got, row.want) {
			t.Errorf("%s %s: %s, expected %s", row.path, row.with, got, row.want)
		}
	}
	if got := b.ask(t, "/processes", ""); got != "REACHED: /app" {
		t.Errorf("the app sees %s", got)
	}
	// To the kernel they are different users.
	app, stored := owner(t, filepath.Join(c.Dir, "images")), owner(t, filepath.Join(c.Dir, servicesName, "db", "images"))
	if worker := owner(t, filepath.Join(c.Dir, servicesName, "worker", "images")); app != userShift || stored != userShift+usersEach || worker != userShift+2*usersEach {
		t.Errorf("root inside is %d, %d and %d outside", app, stored, worker)
	}
	groups := append(serviceGroups(t, c), cgroup(t, c))
	if len(groups) != 3 {
		t.Errorf("control groups %q", groups)
	}
	b.stop()
	b.done <- <-b.done
	if names := b.events.names(); slices.Contains(names, AppExited) {
		t.Errorf("events %q", names)
	}
	for _, group := range groups {
		nothingLeft(t, c, own[0], group)
	}
	abandoned(t, db[0])
}

// owner is who owns the program in the image's tree below a folder.
func owner(t testing.TB, dir string) int {
	t.Helper()
	var found []string
	filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Name() == "app" && d.Type().IsRegular() {
			found = append(found, path)
		}
		return nil
	})
	if len(found) != 1 {
		t.Fatalf("the program is at %q below %s", found, dir)
	}
	out, err := exec.Command("stat", "-c", "%u", found[0]).Output()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, d := range strings.TrimSpace(string(out)) {
		n = 10*n + int(d-'0')
	}
	return n
}

func serviceGroups(t testing.TB, c *Containers) (groups []string) {
	t.Helper()
	ids, err := filepath.Glob(filepath.Join(c.Dir, servicesName, "*", "runs", "run-*", "id"))
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		text, err := os.ReadFile(id)
		if err != nil {
			t.Fatal(err)
		}
		groups = append(groups, string(text))
	}
	return groups
}

// TestServicesEgress: what the policy allows the app, services may through the same
// gate; and what they say to one another goes through no proxy.
func TestServicesEgress(t *testing.T) { underBoth(t, servicesEgress) }

func servicesEgress(t *testing.T, c *Containers, digest string, isolated func(string) string) {
	c.Resolver = names{}
	b := serve(t, Config{Policy: parsed(t, isolated(withServices(digest, "", "egress: {allow: [{host: allowed.example, port: 80}]}\n"))), Containers: c})
	for _, row := range []struct{ path, with, want string }{
		{"/direct", "http://db:9000/self", "REACHED: 200"},
		{"/proxied", "http://db:9000/self", "REACHED: 200"},
		{"/proxied", "http://db:9000/proxied?with=" + url.QueryEscape("http://other.example/"), "403"},
		{"/direct", "http://db:9000/dial?with=" + url.QueryEscape("tcp 93.184.216.34:80"), "network is unreachable"},
		{"/direct", "http://db:9000/dial?with=" + url.QueryEscape("tcp 198.18.0.1:22"), "connection refused"},
	} {
		if got := b.ask(t, row.path, row.with); !strings.Contains(got, row.want) {
			t.Errorf("%s %s: %s, expected %s", row.path, row.with, got, row.want)
		}
	}
}

// TestServiceEnds: while a service does not run, nobody is served; it is started
// again, and then they are.
func TestServiceEnds(t *testing.T) { underBoth(t, serviceEnds) }

func serviceEnds(t *testing.T, c *Containers, digest string, isolated func(string) string) {
	b := serve(t, Config{Policy: parsed(t, isolated(withServices(digest, "", ""))), Containers: c})
	ended := b.app.(*container).services[0]
	b.through(t, "/exit", "")
	waitFor(t, "the end of the service", func() bool {
		return slices.ContainsFunc(b.events.all(), func(e Event) bool { return e.Name == AppNote && e.Detail == "the service db ended" })
	})
	waitFor(t, "the service", ended.Accepting)
	resp, text := do(t, b.client(t, "h2"), request(t, "GET", "/here", nil))
	if resp.StatusCode != http.StatusOK || text != "hello clinic" {
		t.Errorf("after it is back: %s", resp.Status)
	}
	ended.Stop()
	if b.appReady() {
		t.Error("the box is ready without a service")
	}
	if resp, _ := do(t, b.client(t, "h2"), request(t, "GET", "/here", nil)); resp.StatusCode != http.StatusBadGateway {
		t.Errorf("without a service: %s", resp.Status)
	}
}

// TestServiceRefused: a box with a service that does not run as the policy says does
// not open, and leaves nothing.
func TestServiceRefused(t *testing.T) {
	c, digest := contained(t)
	c.GVisor = "/none" // it is not come to
	doc := withServices(digest, "", "")
	for _, row := range []struct{ name, doc, want string }{
		{"another digest", strings.Replace(doc, `db, image: "oci:app", digest: "`+digest, `db, image: "oci:app", digest: "sha256:`+strings.Repeat("ab", 32), 1), "the service db: "},
		{"a folder that hides files", strings.Replace(doc, "[/app, sleep]", "[/app, sleep], files: {writable: [{path: /conf, size: 1MiB}]}", 1), "the service worker: files.writable /conf (line "},
		{"ends at once", strings.Replace(doc, "[/app, sleep]", "[/app, end], listen: 1", 1), "the service worker: sandbox: the app ended before it listened at 198.18.1.3:1: exit status 4"},
		{"a capability", strings.Replace(doc, "[/app, sleep]", "[/app, sleep], capabilities: [CAP_SYS_ADMIN]", 1), "the service worker: sandbox: capability \"CAP_SYS_ADMIN\""},
		{"listens for itself alone", strings.Replace(doc, "0.0.0.0:9000", "127.0.0.1:9000", 1), "stopped while the app was starting"},
		{"less is enforced than it says", underGVisor(withServices(digest, ", capabilities: [CAP_SETUID]", "")), "the service db: the policy says more than this machine enforces"},
		{"the app ends at once", strings.Replace(doc, "listen: 8000", "command: [/app, end], listen: 8000", 1), "exit status 4"},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := parsed(t, row.doc)
			b, err := New(Config{Simulation: true, Policy: p, Attester: launched(p), Listener: listen(t), Containers: c})
			if err != nil {
				t.Fatal(err)
			}
			ctx := t.Context()
			if strings.HasPrefix(row.want, "stopped") {
				ctx = untilRun(t, c)
			}
			if err := b.Serve(ctx); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v, expected %s", err, row.want)
			}
			select {
			case <-b.Ready():
				t.Error("the door was opened")
			default:
			}
			nothingLeft(t, c, "", "")
		})
	}
}

// TestServicesKilled: after kill -9 of the box nothing of its services is left that
// the next box does not remove, even one without services.
func TestServicesKilled(t *testing.T) {
	c, digest := contained(t)
	doc := withServices(digest, "", "logs: counters\n")
	b, kill := another(t, c, doc)
	networks := []string{strings.Fields(b.ask(t, "/self", ""))[0], strings.Fields(strings.TrimPrefix(b.through(t, "/self", ""), "REACHED: 200 "))[0]}
	groups := append(serviceGroups(t, c), cgroup(t, c))
	kill()
	for _, n := range networks {
		abandoned(t, n)
	}
	next := serve(t, Config{Policy: parsed(t, withImage(digest, "")), Containers: c})
	if got := next.ask(t, "/here", ""); got != "hello clinic" {
		t.Errorf("the next box's app answers %q", got)
	}
	if _, err := os.Stat(filepath.Join(c.Dir, servicesName)); !os.IsNotExist(err) {
		t.Errorf("the services' folder: %v", err)
	}
	next.stop()
	next.done <- <-next.done
	for _, group := range groups {
		nothingLeft(t, c, "", group)
	}
}

// all returns what was told so far.
func (e *events) all() []Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.list)
}

// untilRun is a context that ends when the database runs.
func untilRun(t testing.TB, c *Containers) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		for ctx.Err() == nil {
			if groups, _ := filepath.Glob(filepath.Join(c.Dir, servicesName, "db", "runs", "run-*", "state", "*")); len(groups) > 0 {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	t.Cleanup(cancel)
	return ctx
}

// another runs a box in a process of its own, and returns how to kill it.
func another(t testing.TB, c *Containers, doc string) (*running, func()) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "-test.run", "^TestCanaryBox$", "-test.v")
	cmd.Env = append(os.Environ(), "CANARY_POLICY="+doc, "CANARY_IMAGES="+c.Images, "CANARY_DIR="+c.Dir, "CANARY_RUNTIME="+c.Runtime)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdin.Close() })
	out := &sink{addr: make(chan string, 1)}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := func() {
		cmd.Process.Kill()
		cmd.Wait()
	}
	select {
	case addr := <-out.addr:
		return &running{Box: &Box{policy: parsed(t, doc)}, addr: addr}, kill
	case <-time.After(patience):
		kill()
		t.Fatalf("the box does not open:\n%s", out)
		return nil, nil
	}
}
